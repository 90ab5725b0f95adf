/* SPDX-License-Identifier: MIT */
#include "contest/contestant.h"

const struct contestant zeromq = { .name = "zeromq",
				   .absent = "absent: libzmq3-dev was not there when this was built" };
