/* SPDX-License-Identifier: MIT */
#include "layout.h"

#include <stdint.h>
#include <string.h>

int main(void);

/* Where the fields of a descriptor lie, which only running code can tell. */
static uint64_t bits_of(mach_msg_type_t t)
{
	uint64_t word = 0;

	memcpy(&word, &t, sizeof t);
	return word;
}

/* How Debian's MIG fills a descriptor in (by position), and how the newer one does (by name): each in its own layout. */
#ifdef PORTUNUS_MIG_ABI_LP64
static const mach_msg_type_t by_mig = { .msgt_name = 17,
					.msgt_size = 64,
					.msgt_number = 3,
					.msgt_inline = TRUE,
					.msgt_longform = FALSE,
					.msgt_deallocate = FALSE,
					.msgt_unused = 0 };
static const mach_msg_type_long_t by_mig_long = { .msgtl_header = { .msgt_name = (unsigned char)9,
								    .msgt_size = 4096,
								    .msgt_number = 1,
								    .msgt_inline = TRUE,
								    .msgt_longform = TRUE,
								    .msgt_deallocate = FALSE,
								    .msgt_unused = 0 } };
#define EXPECTED 0x0000000320004011u
#else
static const mach_msg_type_t by_mig = { (unsigned char)17, 64, 3, TRUE, FALSE, FALSE, 0 };
static const mach_msg_type_long_t by_mig_long = { { 0, 0, 0, TRUE, TRUE, FALSE, 0 }, (unsigned short)9, 4096, 1 };
#define EXPECTED 0x10034011u
#endif

int main(void)
{
	if (bits_of(by_mig) != EXPECTED)
		return 1;
	if (by_mig_long.msgtl_name != 9 || by_mig_long.msgtl_size != 4096 || by_mig_long.msgtl_number != 1)
		return 2;
	if (!by_mig_long.msgtl_header.msgt_inline || !by_mig_long.msgtl_header.msgt_longform)
		return 3;
	return by_mig_long.msgtl_header.msgt_deallocate ? 4 : 0;
}
