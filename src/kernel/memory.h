/* SPDX-License-Identifier: MIT */
/* Memory: who owns which pages that came from vm_allocate() or out of a message.
 *
 * All tasks of a process share one address space, so ownership is book-keeping that the kernel enforces at its own
 * door: pages in flight, or freed, cannot be sent or deallocated by anybody. Any task may deallocate or send what
 * another owns, as it may read and write it.
 *
 * A region is a range of whole pages; regions never overlap. A region is
 *   OWNED      by the task that memory_allocate() or memory_give() named; that task's end frees it
 *   IN FLIGHT  inside a message; the struct memory that names it is its one owner, and is a region of exactly that
 *              range
 *   SPARE     freed, but kept mapped for the next message; only what came out of messages, so what memory_allocate() made is
 *             gone when it is freed. Small regions, up to 4 MiB in all, for good; large ones, up to 128 MiB, for a second, if
 *             there is somebody to unmap them then (memory_keep_large()). To everybody outside memory.c this is free memory,
 *             except that the host lets a program read and write it. What a message finds in it is overwritten or zeroed
 * A page in no region is free, or it is none of ours (heap, stack, file): that can be copied into a message and is
 * otherwise left alone. Operations on part of a region split it; adjacent regions serve as one, whoever owns them.
 *
 *      memory_allocate ───────────────► OWNED ──── memory_deallocate, memory_release ──► SPARE or gone
 *                                       │   ▲
 *           memory_take with deallocate │   │ memory_give
 *                                       ▼   │
 *      memory_take by copy ──────────► IN FLIGHT ── memory_drop ───────────────────────► SPARE or gone
 *      memory_new, memory_to_fill, from new pages or SPARE ones;
 *      memory_take_unfilled, from new pages
 *
 * Locks: the registry of regions has one lock, rank MEMORY, inside memory.c. No user memory is touched and no page
 * table changed while it is held, and nothing here calls out. A struct memory is guarded by who owns the message it is
 * in.
 * Order: a region leaves the registry before its pages are unmapped and enters it after they are mapped, so the host
 * can never have given its addresses to somebody else meanwhile.
 *
 * Not seen: a program that munmap()s or remaps by itself what it got from us. We forget the lost range when the
 * host gives its addresses to us again; until then vm_deallocate() on it unmaps whatever is there. */
#ifndef KERNEL_MEMORY_H
#define KERNEL_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#include <mach/kern_return.h>
#include <mach/mach_types.h>
#include <mach/message.h>

/* Bytes in flight. Zeroed: none. Whoever has it gives it or drops it, once; both leave it zeroed, or lost. */
struct memory {
	void *address; /* page aligned; NULL if size is 0, or if there was no memory: then they are lost */
	size_t size;   /* in bytes as sent; the pages are the rounded range */
};

static inline bool memory_is_lost(const struct memory *m)
{
	return m->size && !m->address;
}

/* Zero pages for owner (not NULL). Not anywhere: exactly at *address, truncated to a page.
 *   KERN_SUCCESS, with *address = 0 if size is 0
 *   KERN_NO_SPACE  something is mapped there     KERN_INVALID_ADDRESS  nothing can be mapped there
 *   KERN_RESOURCE_SHORTAGE  no memory */
kern_return_t memory_allocate(const void *owner, vm_address_t *address, vm_size_t size, bool anywhere);

/* Frees the pages that hold any of the bytes. All or nothing.
 *   KERN_INVALID_ADDRESS  some page is not owned (free, in flight, or none of ours)
 *   KERN_RESOURCE_SHORTAGE  no memory to split a region */
kern_return_t memory_deallocate(vm_address_t address, vm_size_t size);

/* Takes size bytes of the caller's into a message: *m owns them afterwards. With no lock held.
 *   deallocate, user page aligned, all pages owned: the pages move, at the cost of a lookup; *m has the same address
 *   deallocate, all pages owned, but user not aligned: copied, then the pages are freed as memory_deallocate() does
 *   deallocate of anything else that can be read: copied and left alone, since it is not ours to free
 *   not deallocate: copied
 * Errors: *m is zeroed and nothing has changed.
 *   MACH_SEND_INVALID_MEMORY  cannot be read, or is in flight     MACH_SEND_NO_BUFFER  no memory */
mach_msg_return_t memory_take(struct memory *m, const void *user, size_t size, bool deallocate);

/* The same without deallocate, but the bytes stay the caller's for now: *m is zero, and memory_read() may fill it. That they can be read is checked, and sees to it that they are there. */
mach_msg_return_t memory_take_unfilled(struct memory *m, const void *user, size_t size);

/* Copies a caller's bytes. False: there were pages that cannot be read, and for them there are zeroes. With no lock held. */
bool memory_read(void *to, const void *user, size_t size);

/* Zero bytes in flight, for what the kernel writes itself. address NULL: no memory, or size 0. */
struct memory memory_new(size_t size);

/* The same, to be written from the first byte to the last by the caller, who gives it to nobody before: only what pads the last
 * page is zero. Host memory is used up as it is written. */
struct memory memory_to_fill(size_t size);

/* Hands what is in flight to a task and returns its address (NULL if empty). Cannot fail. */
void *memory_give(struct memory *m, const void *owner);

/* Destroys what is in flight. */
void memory_drop(struct memory *m);

/* Frees all that owner owns: its task is gone, and no thread gives it memory any more. */
void memory_release(const void *owner);

/* From now on large regions are kept, too. @trim is called, with any lock held, when there is something to trim and nobody has
 * been asked for it: then memory_trim() is called after the milliseconds that it returned last, or at once, until it returns
 * -1. It unmaps what has been spare for a second. */
void memory_keep_large(void (*trim)(void));
int memory_trim(void);

/* After fork, in the child, while it has one thread: nothing is owned or in flight any more. No page is unmapped,
 * because the program may go on using what it could see. A struct memory from before the fork is void: forget it,
 * don't drop it. */
void memory_forget(void);

#endif
