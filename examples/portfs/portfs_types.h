/* SPDX-License-Identifier: MIT */
#ifndef PORTFS_TYPES_H
#define PORTFS_TYPES_H

#include <errno.h>
#include <mach/error.h>
#include <stdint.h>

/* The types and codes of portfs.defs, for both sides. */

#define PORTFS_PATH_MAX	  1024 /* bytes, the 0 included */
#define PORTFS_NAME_MAX	  256
#define PORTFS_EVENTS_MAX 4096
#define PORTFS_READ_MAX	  (16u << 20) /* what one portfs_read() returns at most */
#define PORTFS_TALLY_SIZE 96

typedef char portfs_path_t[PORTFS_PATH_MAX];
typedef const char *const_portfs_path_t;
typedef char portfs_name_t[PORTFS_NAME_MAX];
typedef const char *const_portfs_name_t;
typedef char *portfs_data_t;
typedef const char *const_portfs_data_t;
typedef char portfs_events_t[PORTFS_EVENTS_MAX];
typedef char portfs_tally_t[PORTFS_TALLY_SIZE];

enum portfs_kind {
	PORTFS_FILE = 1,
	PORTFS_DIRECTORY = 2,
	PORTFS_LINK = 3,    /* a symbolic link; only a directory's entries have this kind, a lookup follows it */
	PORTFS_SPECIAL = 4, /* a device, fifo or socket: never opened */
};

/* 64-bit numbers are low word, high word. */
typedef struct portfs_stat {
	uint32_t kind, mode, links, uid, gid;
	uint32_t device[2], inode[2], size[2], mtime[2];
	uint32_t mtime_ns;
} portfs_stat_t;

typedef struct portfs_status {
	uint32_t open; /* files open now, the root not counted */
	uint32_t opened[2], closed[2], refused[2], requests[2];
} portfs_status_t;

static inline uint64_t portfs_u64(const uint32_t words[2])
{
	return words[0] | (uint64_t)words[1] << 32;
}

static inline void portfs_set_u64(uint32_t words[2], uint64_t value)
{
	words[0] = (uint32_t)value;
	words[1] = (uint32_t)(value >> 32);
}

enum portfs_changes {
	PORTFS_CHANGED_DATA = 1,
	PORTFS_CHANGED_ATTRIBUTES = 2,
	PORTFS_CHANGED_ENTRIES = 4, /* of a directory */
	PORTFS_CHANGED_GONE = 8,    /* no name left, or moved, or unmounted */
	PORTFS_CHANGED_LOST = 16,   /* there was more than the listener's queue could take */
};

/* What Linux answered the server, as a Mach error code, and back (0 where it is none of ours). */
#define PORTFS_SUBSYSTEM     0x706
#define PORTFS_ERROR(number) (err_server | err_sub(PORTFS_SUBSYSTEM) | (kern_return_t)(number))

static inline int portfs_errno(kern_return_t kr)
{
	return kr > 0 && (kr & ~code_emask) == PORTFS_ERROR(0) ? (int)err_get_code(kr) : 0;
}

#endif
