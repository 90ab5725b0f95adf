/* SPDX-License-Identifier: MIT */
#include "contest/contestant.h"

const struct contestant nanomsg_ng = { .name = "nng",
				       .absent = "absent: libnng-dev was not there when this was built" };
