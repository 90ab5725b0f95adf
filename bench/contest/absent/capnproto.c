/* SPDX-License-Identifier: MIT */
#include "contest/contestant.h"

const struct contestant capnproto = { .name = "capnproto",
				      .absent = "absent: libcapnp-dev was not there when this was built" };
