/* SPDX-License-Identifier: MIT */
#include "contest/contestant.h"

#define ABSENT "absent: libsystemd-dev was not there when this was built"

const struct contestant dbus_peer = { .name = "dbus-peer", .absent = ABSENT };
const struct contestant dbus_daemon = { .name = "dbus-daemon", .absent = ABSENT };
