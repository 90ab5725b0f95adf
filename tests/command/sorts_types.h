/* SPDX-License-Identifier: MIT */
/* The C side of the types of sorts.defs. */
#ifndef SORTS_TYPES_H
#define SORTS_TYPES_H

#include <mach/std_types.h>
#include <stdint.h>

typedef unsigned char sorts_byte_t;
typedef double sorts_real_t;
typedef char sorts_word_t[32];
typedef const char *const_sorts_word_t;
typedef char sorts_name_t[32];
typedef const char *const_sorts_name_t;
typedef char sorts_text_t[64];
typedef const char *const_sorts_text_t;
typedef char sorts_long_text_t[5000];
typedef const char *const_sorts_long_text_t;
typedef int sorts_square_t[9];
typedef int sorts_large_t[5000];
typedef char sorts_chars_t[300];
typedef short sorts_grid_t[6];
typedef int sorts_row_t[64];
typedef const int *const_sorts_row_t;
typedef char sorts_long_row_t[5000];
typedef const char *const_sorts_long_row_t;
typedef char *sorts_blob_t;
typedef const char *const_sorts_blob_t;
typedef uint64_t *sorts_numbers_t;
typedef const uint64_t *const_sorts_numbers_t;
typedef int *sorts_run_t;
typedef struct sorts_quad {
	int w, x, y, z;
} sorts_quad_t;
typedef sorts_quad_t sorts_quads_t[8];
typedef const sorts_quad_t *const_sorts_quads_t;
typedef struct sorts_record {
	int a;
	char b;
	short c;
	int d;
} sorts_record_t;
typedef mach_port_t *sorts_rights_t;
typedef const mach_port_t *const_sorts_rights_t;

#endif
