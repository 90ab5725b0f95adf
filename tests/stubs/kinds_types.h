/* SPDX-License-Identifier: MIT */
/* The C side of the types of kinds.defs. */
#ifndef KINDS_TYPES_H
#define KINDS_TYPES_H

#include <mach/std_types.h>

typedef char text_t[256];
typedef const char *const_text_t;
typedef char word_t[32];
typedef const char *const_word_t;
typedef int square_t[9];
typedef struct record {
	int year, month, day, weekday;
} record_t;
typedef int row_t[64];
typedef const int *const_row_t;
typedef char *blob_t;
typedef const char *const_blob_t;
typedef mach_port_t *rights_t;
typedef const mach_port_t *const_rights_t;

#endif
