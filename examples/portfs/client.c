/* SPDX-License-Identifier: MIT */
#include "client.h"

#include <mach.h>
#include <mach_error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "listener.h"
#include "portfs.h"

#define CHUNK (1u << 20)

/* Room for what arrives inside a message. More arrives as pages of its own, which are then ours to free. */
struct data {
	char room[2048];
	portfs_data_t bytes;
	mach_msg_type_number_t n;
};

static void data_init(struct data *d)
{
	d->bytes = d->room;
	d->n = sizeof d->room;
}

static void data_deinit(struct data *d)
{
	if (d->bytes != d->room)
		vm_deallocate(mach_task_self(), (vm_address_t)d->bytes, d->n);
}

const char *portfs_error_string(kern_return_t kr)
{
	switch (portfs_errno(kr)) {
	case 0:
		return mach_error_string(kr);
	case EXDEV:
		return "the path leads out of the tree that is served";
	case ENOTSUP:
		return "a device, fifo or socket, which is not opened";
	default:
		return strerror(portfs_errno(kr));
	}
}

/* The request finds no port, or the server dies with the right to answer it. */
int client_server_died(kern_return_t kr)
{
	return kr == MACH_SEND_INVALID_DEST || kr == MIG_SERVER_DIED;
}

int client_complain(const char *what, kern_return_t kr)
{
	int died = client_server_died(kr);

	fprintf(stderr, "portfs: %s: %s\n", what, died ? "the server has died" : portfs_error_string(kr));
	return died ? SERVER_DIED : FAILED;
}

static int output_failed(void)
{
	perror("portfs: cannot write the output");
	return FAILED;
}

/* The send right that this returns is the open file. */
static int open_path(mach_port_t root, const char *path, mach_port_t *file)
{
	uint32_t kind;
	kern_return_t kr;

	if (strlen(path) >= PORTFS_PATH_MAX)
		return client_complain(path, PORTFS_ERROR(ENAMETOOLONG));
	kr = portfs_lookup(root, path, file, &kind);
	return kr ? client_complain(path, kr) : ALL_WELL;
}

/* And this is what closing is. */
static void close_file(mach_port_t file)
{
	mach_port_deallocate(mach_task_self(), file);
}

int client_cat(mach_port_t root, const char *path)
{
	uint64_t offset = 0;
	mach_port_t file;
	struct data data;
	kern_return_t kr;
	int failed = open_path(root, path, &file);

	if (failed)
		return failed;
	do {
		data_init(&data);
		kr = portfs_read(file, offset, CHUNK, &data.bytes, &data.n);
		if (kr) {
			close_file(file);
			return client_complain(path, kr);
		}
		offset += data.n;
		failed = fwrite(data.bytes, 1, data.n, stdout) < data.n;
		data_deinit(&data);
	} while (data.n && !failed);
	close_file(file);
	return failed ? output_failed() : ALL_WELL;
}

static int by_entry_name(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x + 1, *y + 1);
}

/* entries: kind, name, 0; kind, name, 0; and so on. */
static int print_entries(const char *entries, size_t size)
{
	static const char mark[] = { 0, 0, '/', '@', '?' };
	const char **sorted = calloc(size / 3 + 1, sizeof *sorted);
	size_t n = 0;
	int failed = 0;

	if (!sorted) {
		perror("portfs");
		return FAILED;
	}
	for (const char *at = entries; at < entries + size && memchr(at, 0, (size_t)(entries + size - at));
	     at += strlen(at) + 1)
		if (at[0] && at[1])
			sorted[n++] = at;
	qsort(sorted, n, sizeof *sorted, by_entry_name);
	for (size_t i = 0; i < n; i++) {
		unsigned char kind = (unsigned char)sorted[i][0];

		failed |= fputs(sorted[i] + 1, stdout) < 0;
		if (kind < sizeof mark && mark[kind])
			failed |= fputc(mark[kind], stdout) < 0;
		failed |= fputc('\n', stdout) < 0;
	}
	free(sorted);
	return failed ? output_failed() : ALL_WELL;
}

int client_ls(mach_port_t root, const char *path)
{
	struct data entries;
	mach_port_t file;
	kern_return_t kr;
	int result = open_path(root, path, &file);

	if (result)
		return result;
	data_init(&entries);
	kr = portfs_readdir(file, &entries.bytes, &entries.n);
	close_file(file);
	if (kr)
		return client_complain(path, kr);
	result = print_entries(entries.bytes, entries.n);
	data_deinit(&entries);
	return result;
}

int client_stat(mach_port_t root, const char *path)
{
	static const char *const kinds[] = { "?", "file", "directory", "link", "special" };
	char when[64] = "?";
	portfs_stat_t st;
	mach_port_t file;
	kern_return_t kr;
	struct tm tm;
	time_t mtime;
	int failed = open_path(root, path, &file);

	if (failed)
		return failed;
	kr = portfs_stat(file, &st);
	close_file(file);
	if (kr)
		return client_complain(path, kr);
	mtime = (time_t)portfs_u64(st.mtime);
	if (gmtime_r(&mtime, &tm))
		strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
	if (printf("kind   %s\nmode   %04o\nlinks  %u\nowner  %u:%u\nsize   %llu\ninode  %llu\nmtime  %s.%09uZ\n",
		   kinds[st.kind < 5 ? st.kind : 0], st.mode & 07777, st.links, st.uid, st.gid,
		   (unsigned long long)portfs_u64(st.size), (unsigned long long)portfs_u64(st.inode), when,
		   st.mtime_ns) < 0)
		return output_failed();
	return ALL_WELL;
}

struct watching {
	struct listener listener;
	unsigned long n_heard;
	int gone, failed, is_alone;
};

/* The right that the server had to our port is gone, and we have not closed the file: then the server is. */
static void note_alone(struct listener *listener)
{
	((struct watching *)listener)->is_alone = 1;
}

static void print_change(struct listener *listener, unsigned int changes, const char *name)
{
	static const char *const words[] = { "data", "attributes", "entries", "gone", "lost" };
	struct watching *w = (struct watching *)listener;

	w->n_heard++;
	w->gone |= (changes & PORTFS_CHANGED_GONE) != 0;
	for (unsigned int i = 0; i < sizeof words / sizeof words[0]; i++)
		if (changes & 1u << i)
			w->failed |= printf("%s ", words[i]) < 0;
	w->failed |= printf("%s\n", name) < 0 || fflush(stdout) != 0;
}

static int is_watched_enough(const struct watching *w, unsigned long n_changes)
{
	return w->gone || w->failed || w->is_alone || (n_changes && w->n_heard >= n_changes);
}

int client_watch(mach_port_t root, const char *path, unsigned long n_changes)
{
	struct watching w = { .listener = { .changed = print_change, .alone = note_alone } };
	mach_port_t file;
	kern_return_t kr;
	int failed = open_path(root, path, &file);

	if (failed)
		return failed;
	kr = listener_init(&w.listener);
	if (kr == KERN_SUCCESS) {
		/* A send right for the server, made on the spot from our receive right. */
		kr = portfs_watch(file, w.listener.port, MACH_MSG_TYPE_MAKE_SEND);
		while (kr == KERN_SUCCESS && !is_watched_enough(&w, n_changes))
			kr = listener_wait(&w.listener);
		listener_deinit(&w.listener);
	}
	close_file(file);
	if (kr == KERN_SUCCESS && w.is_alone)
		kr = MIG_SERVER_DIED;
	if (kr)
		return client_complain(path, kr);
	return w.failed ? output_failed() : ALL_WELL;
}
