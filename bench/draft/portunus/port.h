/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_PORT_H
#define PORTUNUS_PORT_H

#include <mach/mach_types.h>
#include <mach/port.h>
#include <portunus/export.h>

PORTUNUS_BEGIN_DECLS

PORTUNUS_EXPORT kern_return_t portunus_port_set_qlimit(mach_port_name_t name, mach_port_msgcount_t limit);

PORTUNUS_END_DECLS

#endif
