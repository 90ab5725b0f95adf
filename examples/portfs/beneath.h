/* SPDX-License-Identifier: MIT */
#ifndef PORTFS_BENEATH_H
#define PORTFS_BENEATH_H

/* Find path strictly beneath the directory open as fd and open it as a mere place (O_PATH): nothing is read, and no device
 * or fifo notices. Symbolic links are followed as long as they stay beneath.
 * Returns a descriptor for the caller to close, or -1 with errno; EXDEV: the path leads out. */
int beneath_open(int fd, const char *path);

/* Open for reading what an O_PATH descriptor stands for. Returns a descriptor or -1 with errno. */
int place_open(int place);

#endif
