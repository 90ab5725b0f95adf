/* SPDX-License-Identifier: MIT */
#include "server.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mach.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "portfs_host_server.h"
#include "portfs_notify_server.h"
#include "portfs_server.h"
#include "watch.h"

/* Larger than any request and reply of ours. What does not fit is not for us; the kernel destroys it. */
#define MESSAGE_MAX 8192

#define STOPPING_MS 10

struct server {
	struct object control;
	mach_port_t set; /* the control port and every file's port: the one thing the thread waits for */
	struct watcher watcher;
	struct file *files; /* open, the root included */
	int is_stopping;
	uint64_t n_opened, n_closed, n_refused, n_requests;
};

/* Objects */

portfs_object_t object_from_payload(unsigned long payload)
{
	return (portfs_object_t)payload;
}

portfs_object_t object_from_port(mach_port_t port)
{
	(void)port;
	return NULL;
}

/* A client may send any message to a file's port, also one that only the control port should get. */
static struct file *file_of(portfs_object_t object)
{
	return object && object->kind == OBJECT_FILE ? (struct file *)object : NULL;
}

static struct server *server_of_control(portfs_object_t object)
{
	return object && object->kind == OBJECT_CONTROL ? object->server : NULL;
}

static kern_return_t object_init(struct object *o, enum object_kind kind, struct server *server)
{
	kern_return_t kr;

	o->kind = kind;
	o->server = server;
	kr = mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &o->port);
	if (kr)
		return kr;
	kr = mach_port_set_protected_payload(mach_task_self(), o->port, (unsigned long)o);
	if (kr == KERN_SUCCESS)
		kr = mach_port_move_member(mach_task_self(), o->port, server->set);
	if (kr)
		mach_port_mod_refs(mach_task_self(), o->port, MACH_PORT_RIGHT_RECEIVE, -1);
	return kr;
}

/* With the right go the messages still queued: none of them can come to an object that is no more. */
static void object_deinit(struct object *o)
{
	mach_port_mod_refs(mach_task_self(), o->port, MACH_PORT_RIGHT_RECEIVE, -1);
}

/* Files */

/* No-senders, once the first right has been made (sync 1) and all are gone. It comes to the file's own port. */
static kern_return_t request_no_senders(struct file *file)
{
	mach_port_t previous = MACH_PORT_NULL;
	kern_return_t kr =
		mach_port_request_notification(mach_task_self(), file->object.port, MACH_NOTIFY_NO_SENDERS, 1,
					       file->object.port, MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous);

	if (kr == KERN_SUCCESS && MACH_PORT_VALID(previous))
		mach_port_deallocate(mach_task_self(), previous);
	return kr;
}

static void file_link(struct server *server, struct file *file)
{
	file->next = server->files;
	file->link = &server->files;
	if (file->next)
		file->next->link = &file->next;
	server->files = file;
}

static void file_unlink(struct file *file)
{
	*file->link = file->next;
	if (file->next)
		file->next->link = file->link;
}

/* fd: taken on success. The port has no send right yet. */
static kern_return_t file_new(struct server *server, int fd, enum portfs_kind kind, struct file **out)
{
	struct file *file = malloc(sizeof *file);
	kern_return_t kr;

	if (!file)
		return KERN_RESOURCE_SHORTAGE;
	*file = (struct file){ .fd = fd, .kind = kind };
	kr = object_init(&file->object, OBJECT_FILE, server);
	if (kr) {
		free(file);
		return kr;
	}
	kr = request_no_senders(file);
	if (kr) {
		object_deinit(&file->object);
		free(file);
		return kr;
	}
	file_link(server, file);
	*out = file;
	return KERN_SUCCESS;
}

static void file_free(struct file *file)
{
	file_unlink(file);
	watch_remove_file(&file->object.server->watcher, file);
	object_deinit(&file->object);
	close(file->fd);
	free(file);
}

static enum portfs_kind kind_of_mode(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return PORTFS_FILE;
	case S_IFDIR:
		return PORTFS_DIRECTORY;
	case S_IFLNK:
		return PORTFS_LINK;
	default:
		return PORTFS_SPECIAL;
	}
}

/* From a place to a file: what is to be opened is looked at first, because opening a device is an act. Closes place. */
static kern_return_t file_open(struct server *server, int place, struct file **out)
{
	enum portfs_kind kind;
	kern_return_t kr;
	struct stat st;
	int fd = -1;

	kr = place < 0 || fstat(place, &st) < 0 ? PORTFS_ERROR(errno) : KERN_SUCCESS;
	if (kr == KERN_SUCCESS) {
		kind = kind_of_mode(st.st_mode);
		if (kind == PORTFS_FILE || kind == PORTFS_DIRECTORY) {
			fd = place_open(place);
			kr = fd < 0 ? PORTFS_ERROR(errno) : file_new(server, fd, kind, out);
		} else {
			kr = PORTFS_ERROR(ENOTSUP);
		}
	}
	if (kr && fd >= 0)
		close(fd);
	if (place >= 0)
		close(place);
	return kr;
}

/* The file with its first send right, which is the caller's to move to a client. Made now and moved by the reply, not made by
 * the reply: if the client is gone by then, the right is destroyed with the reply, and no-senders closes the file. A right
 * that was never made would leave it open for good. Closes place. */
static kern_return_t file_give(struct server *server, int place, struct file **out)
{
	kern_return_t kr = file_open(server, place, out);
	mach_port_t port;

	if (kr)
		return kr;
	port = (*out)->object.port;
	kr = mach_port_insert_right(mach_task_self(), port, port, MACH_MSG_TYPE_MAKE_SEND);
	if (kr)
		file_free(*out);
	return kr;
}

/* The routines of portfs.defs. An error consumes nothing: the server loop destroys what the request brought. */

kern_return_t serve_portfs_lookup(portfs_object_t object, const_portfs_path_t path, mach_port_t *port, uint32_t *kind)
{
	struct file *directory = file_of(object), *file;
	kern_return_t kr;

	if (!directory)
		return KERN_INVALID_ARGUMENT;
	directory->object.server->n_requests++;
	/* The stub does not check that the string ends; the buffer of the server loop is larger than this, so looking is
	 * safe. */
	if (strnlen(path, PORTFS_PATH_MAX) == PORTFS_PATH_MAX)
		kr = PORTFS_ERROR(ENAMETOOLONG);
	else if (directory->kind != PORTFS_DIRECTORY)
		kr = PORTFS_ERROR(ENOTDIR);
	else
		kr = file_give(directory->object.server, beneath_open(directory->fd, path), &file);
	if (kr) {
		directory->object.server->n_refused++;
		return kr;
	}
	directory->object.server->n_opened++;
	*port = file->object.port;
	*kind = file->kind;
	return KERN_SUCCESS;
}

static enum portfs_kind kind_of_entry(int fd, const struct dirent *entry)
{
	struct stat st;

	switch (entry->d_type) {
	case DT_REG:
		return PORTFS_FILE;
	case DT_DIR:
		return PORTFS_DIRECTORY;
	case DT_LNK:
		return PORTFS_LINK;
	case DT_UNKNOWN:
		if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			return kind_of_mode(st.st_mode);
		return PORTFS_SPECIAL;
	default:
		return PORTFS_SPECIAL;
	}
}

static int write_entries(DIR *listing, FILE *out)
{
	const struct dirent *entry;

	while (errno = 0, (entry = readdir(listing))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		fputc(kind_of_entry(dirfd(listing), entry), out);
		fwrite(entry->d_name, 1, strlen(entry->d_name) + 1, out);
	}
	return errno;
}

/* All entries as one block from malloc. Returns an errno. */
static int list_directory(int fd, char **block, size_t *size)
{
	/* A descriptor of our own has a position of its own. */
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;
	DIR *listing = own < 0 ? NULL : fdopendir(own);
	FILE *out;

	if (!listing) {
		error = errno;
		if (own >= 0)
			close(own);
		return error;
	}
	out = open_memstream(block, size);
	if (out) {
		error = write_entries(listing, out);
		if (ferror(out) && !error)
			error = ENOMEM;
		if (fclose(out) != 0 && !error)
			error = ENOMEM;
		if (error)
			free(*block);
	} else {
		error = errno;
	}
	closedir(listing);
	return error;
}

/* Put bytes where the reply wants them: in the message if they fit, else in fresh pages that the reply moves away. */
static kern_return_t put_data(const char *bytes, size_t size, portfs_data_t *data, mach_msg_type_number_t *count)
{
	vm_address_t pages = 0;
	kern_return_t kr;

	if (size > UINT32_MAX)
		return PORTFS_ERROR(EFBIG);
	if (size > *count) {
		kr = vm_allocate(mach_task_self(), &pages, size, TRUE);
		if (kr)
			return kr;
		*data = (portfs_data_t)pages;
	}
	if (size)
		memcpy(*data, bytes, size);
	*count = (mach_msg_type_number_t)size;
	return KERN_SUCCESS;
}

kern_return_t serve_portfs_readdir(portfs_object_t object, portfs_data_t *entries, mach_msg_type_number_t *count)
{
	struct file *directory = file_of(object);
	kern_return_t kr;
	char *block;
	size_t size;
	int error;

	if (!directory)
		return KERN_INVALID_ARGUMENT;
	directory->object.server->n_requests++;
	if (directory->kind != PORTFS_DIRECTORY)
		return PORTFS_ERROR(ENOTDIR);
	error = list_directory(directory->fd, &block, &size);
	if (error)
		return PORTFS_ERROR(error);
	kr = put_data(block, size, entries, count);
	free(block);
	return kr;
}

kern_return_t serve_portfs_stat(portfs_object_t object, portfs_stat_t *status)
{
	struct file *file = file_of(object);
	struct stat st;

	if (!file)
		return KERN_INVALID_ARGUMENT;
	file->object.server->n_requests++;
	if (fstat(file->fd, &st) < 0)
		return PORTFS_ERROR(errno);
	*status = (portfs_stat_t){
		.kind = kind_of_mode(st.st_mode),
		.mode = st.st_mode,
		.links = (uint32_t)st.st_nlink,
		.uid = st.st_uid,
		.gid = st.st_gid,
		.mtime_ns = (uint32_t)st.st_mtim.tv_nsec,
	};
	portfs_set_u64(status->device, st.st_dev);
	portfs_set_u64(status->inode, st.st_ino);
	portfs_set_u64(status->size, (uint64_t)st.st_size);
	portfs_set_u64(status->mtime, (uint64_t)st.st_mtim.tv_sec);
	return KERN_SUCCESS;
}

/* How much to ask Linux for: no more than the file has left, where its size says something. */
static uint32_t read_size(int fd, uint64_t offset, uint32_t amount)
{
	struct stat st;

	if (amount > PORTFS_READ_MAX)
		amount = PORTFS_READ_MAX;
	if (fstat(fd, &st) == 0 && st.st_size > 0) {
		uint64_t size = (uint64_t)st.st_size, left = size > offset ? size - offset : 0;

		if (left < amount)
			amount = (uint32_t)left;
	}
	return amount;
}

/* Read into fresh pages, keep those with bytes in them. Few bytes move into the message after all. */
static kern_return_t read_pages(int fd, uint64_t offset, uint32_t amount, portfs_data_t *data,
				mach_msg_type_number_t *count)
{
	vm_address_t pages = 0, used;
	kern_return_t kr = vm_allocate(mach_task_self(), &pages, amount, TRUE);
	vm_size_t size = round_page(amount);
	ssize_t n;

	if (kr)
		return kr;
	n = pread(fd, (void *)pages, amount, (off_t)offset);
	if (n < 0)
		kr = PORTFS_ERROR(errno);
	if (n <= (ssize_t)*count) {
		if (n > 0)
			memcpy(*data, (void *)pages, (size_t)n);
		vm_deallocate(mach_task_self(), pages, size);
	} else {
		used = round_page((vm_size_t)n);
		if (used < size)
			vm_deallocate(mach_task_self(), pages + used, size - used);
		*data = (portfs_data_t)pages;
	}
	if (n >= 0)
		*count = (mach_msg_type_number_t)n;
	return kr;
}

kern_return_t serve_portfs_read(portfs_object_t object, uint64_t offset, uint32_t amount, portfs_data_t *data,
				mach_msg_type_number_t *count)
{
	struct file *file = file_of(object);
	ssize_t n;

	if (!file)
		return KERN_INVALID_ARGUMENT;
	file->object.server->n_requests++;
	if (file->kind == PORTFS_DIRECTORY)
		return PORTFS_ERROR(EISDIR);
	if (offset > INT64_MAX - (uint64_t)PORTFS_READ_MAX)
		return PORTFS_ERROR(EINVAL);
	amount = read_size(file->fd, offset, amount);
	if (amount > *count)
		return read_pages(file->fd, offset, amount, data, count);
	n = pread(file->fd, *data, amount, (off_t)offset);
	if (n < 0)
		return PORTFS_ERROR(errno);
	*count = (mach_msg_type_number_t)n;
	return KERN_SUCCESS;
}

kern_return_t serve_portfs_watch(portfs_object_t object, mach_port_t listener)
{
	struct file *file = file_of(object);

	if (!file)
		return KERN_INVALID_ARGUMENT;
	file->object.server->n_requests++;
	return watch_add(&file->object.server->watcher, file, listener);
}

kern_return_t serve_portfs_status(portfs_object_t object, portfs_status_t *status)
{
	struct file *file = file_of(object);
	struct server *server;

	if (!file)
		return KERN_INVALID_ARGUMENT;
	server = file->object.server;
	server->n_requests++;
	status->open = (uint32_t)(server->n_opened - server->n_closed);
	portfs_set_u64(status->opened, server->n_opened);
	portfs_set_u64(status->closed, server->n_closed);
	portfs_set_u64(status->refused, server->n_refused);
	portfs_set_u64(status->requests, server->n_requests);
	return KERN_SUCCESS;
}

/* The control port: events, signals, and the kernel's notifications. */

kern_return_t serve_portfs_inotify(portfs_object_t object, const portfs_events_t events, mach_msg_type_number_t count)
{
	struct server *server = server_of_control(object);

	if (!server || count > PORTFS_EVENTS_MAX)
		return KERN_INVALID_ARGUMENT;
	watch_events(&server->watcher, events, count);
	return KERN_SUCCESS;
}

kern_return_t serve_portfs_stop(portfs_object_t object)
{
	struct server *server = server_of_control(object);

	if (!server)
		return KERN_INVALID_ARGUMENT;
	server->is_stopping = 1;
	return KERN_SUCCESS;
}

/* The last send right is gone: close. Anyone with a right to the file can send a message that looks like this one, and
 * would close it for the others: so ask the kernel whether it is true. */
kern_return_t do_mach_notify_no_senders(portfs_object_t object, mach_port_mscount_t count)
{
	struct file *file = file_of(object);
	mach_port_status_t status;

	(void)count;
	if (!file || mach_port_get_receive_status(mach_task_self(), file->object.port, &status))
		return KERN_INVALID_ARGUMENT;
	if (status.mps_srights)
		return request_no_senders(file);
	if (!file->is_root)
		file->object.server->n_closed++;
	file_free(file);
	return KERN_SUCCESS;
}

/* A listener died. The notification itself brought one more reference to its dead name. */
kern_return_t do_mach_notify_dead_name(portfs_object_t object, mach_port_name_t name)
{
	struct server *server = server_of_control(object);

	if (!server)
		return KERN_INVALID_ARGUMENT;
	watch_remove_listener(&server->watcher, name);
	mach_port_deallocate(mach_task_self(), name);
	return KERN_SUCCESS;
}

/* A listener's name went away with its last watch, before its death. */
kern_return_t do_mach_notify_port_deleted(portfs_object_t object, mach_port_name_t name)
{
	(void)object, (void)name;
	return KERN_SUCCESS;
}

/* A request for a notification was replaced by a later one. */
kern_return_t do_mach_notify_send_once(portfs_object_t object)
{
	(void)object;
	return KERN_SUCCESS;
}

/* Never asked for. An error makes the server loop destroy what the message brought. */
kern_return_t do_mach_notify_msg_accepted(portfs_object_t object, mach_port_name_t name)
{
	(void)object, (void)name;
	return KERN_INVALID_ARGUMENT;
}

kern_return_t do_mach_notify_port_destroyed(portfs_object_t object, mach_port_t rights)
{
	(void)object, (void)rights;
	return KERN_INVALID_ARGUMENT;
}

/* The server */

static boolean_t demux(mach_msg_header_t *request, mach_msg_header_t *reply)
{
	return portfs_server(request, reply) || notify_server(request, reply) || portfs_host_server(request, reply);
}

static kern_return_t server_init(struct server *server)
{
	kern_return_t kr;

	kr = mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_PORT_SET, &server->set);
	if (kr)
		return kr;
	kr = object_init(&server->control, OBJECT_CONTROL, server);
	if (kr)
		goto no_control;
	kr = watcher_init(&server->watcher, server->control.port);
	if (kr)
		goto no_watcher;
	return KERN_SUCCESS;

no_watcher:
	object_deinit(&server->control);
no_control:
	mach_port_mod_refs(mach_task_self(), server->set, MACH_PORT_RIGHT_PORT_SET, -1);
	return kr;
}

kern_return_t server_new(const char *path, struct server **out, mach_port_t *root)
{
	struct server *server = calloc(1, sizeof *server);
	struct file *file;
	kern_return_t kr;

	if (!server)
		return KERN_RESOURCE_SHORTAGE;
	kr = server_init(server);
	if (kr) {
		free(server);
		return kr;
	}
	kr = file_give(server, open(path, O_PATH | O_CLOEXEC | O_DIRECTORY), &file);
	if (kr) {
		server_free(server);
		return kr;
	}
	file->is_root = 1;
	*root = file->object.port;
	*out = server;
	return KERN_SUCCESS;
}

void server_free(struct server *server)
{
	while (server->files)
		file_free(server->files);
	watcher_stop(&server->watcher);
	/* The control port is the last in the set. News of a death brings a reference to a dead name, which would stay if the
	 * message was destroyed unread. */
	while (!watcher_has_stopped(&server->watcher))
		mach_msg_server_timeout(demux, MESSAGE_MAX, server->set, MACH_RCV_TIMEOUT, STOPPING_MS);
	mach_msg_server_timeout(demux, MESSAGE_MAX, server->set, MACH_RCV_TIMEOUT, 0);
	watcher_deinit(&server->watcher);
	object_deinit(&server->control);
	mach_port_mod_refs(mach_task_self(), server->set, MACH_PORT_RIGHT_PORT_SET, -1);
	free(server);
}

/* When no file is open any more, not even the root, nobody is left who could ask for anything. */
kern_return_t server_loop(struct server *server)
{
	mach_msg_return_t mr;

	while (server->files && !server->is_stopping) {
		mr = mach_msg_server_once(demux, MESSAGE_MAX, server->set);
		/* A message too large for us is its sender's mistake, and so is one whose reply cannot be delivered. */
		if (mr == MACH_RCV_INVALID_NAME || mr == MACH_RCV_PORT_DIED)
			return mr;
	}
	return KERN_SUCCESS;
}

void server_signals(sigset_t *signals)
{
	sigemptyset(signals);
	sigaddset(signals, SIGHUP);
	sigaddset(signals, SIGINT);
	sigaddset(signals, SIGTERM);
}
