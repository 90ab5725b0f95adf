/* SPDX-License-Identifier: MIT */
#include "listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "link/rendezvous.h"
#include "log.h"

#define BACKLOG 4096 /* Linux takes what it allows (net.core.somaxconn) */

enum lock { LOCK_START, LOCK_LIFE };

/* ---- the directory */

/* Who may connect has to be able to pass through. */
static mode_t directory_mode(mode_t mode)
{
	return BROKER_DIRECTORY_OWN | (mode & 0070 ? 0010 : 0) | (mode & 0007 ? 0001 : 0);
}

/* What a stranger could do in it; NULL: nothing. */
static const char *directory_fault(const struct stat *st, mode_t wanted, bool is_default)
{
	if (!S_ISDIR(st->st_mode))
		return "is no directory";
	if (st->st_uid != geteuid() && (is_default || st->st_uid != 0))
		return "belongs to somebody else";
	if (is_default && (st->st_mode & 0777 & ~wanted))
		return "is open to others";
	if ((st->st_mode & 0022) && !(st->st_mode & S_ISVTX))
		return "can be written to by others";
	return NULL;
}

/* The mode is set apart from the making, for the mask takes bits away. */
static bool directory_make(const char *directory, mode_t mode)
{
	if (mkdir(directory, BROKER_DIRECTORY_OWN) == 0)
		return chmod(directory, mode) == 0;
	return errno == EEXIST;
}

static bool directory_prepare(const char *path, mode_t mode, bool is_default)
{
	char directory[BROKER_PATH_MAX];
	const char *fault;
	struct stat st;

	broker_directory(path, directory);
	/* Of a place of one's own choice a link may be a part; in /tmp it may be anybody's. */
	if (!directory_make(directory, directory_mode(mode)) ||
	    (is_default ? lstat(directory, &st) : stat(directory, &st)) < 0) {
		log_line(LOG_ERR, "%s: %s", directory, strerror(errno));
		return false;
	}
	fault = directory_fault(&st, directory_mode(mode), is_default);
	if (fault)
		log_line(LOG_ERR, "%s: the directory %s", directory, fault);
	return !fault;
}

/* ---- the lock */

static bool lock(int fd, enum lock which, int command, short type)
{
	struct flock range = { .l_type = type, .l_whence = SEEK_SET, .l_start = which, .l_len = 1 };

	while (fcntl(fd, command, &range) < 0)
		if (errno != EINTR)
			return false;
	return true;
}

static int lock_open(const char *path)
{
	char name[BROKER_PATH_MAX + sizeof ".lock"];
	int fd;

	snprintf(name, sizeof name, "%s.lock", path);
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		log_line(LOG_ERR, "%s: %s", name, strerror(errno));
	return fd;
}

/* ---- the socket */

/* Removes the socket of a dead broker. */
static enum listen_result clear_place(const struct sockaddr_un *address, bool *was_dead)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = 0;
	struct stat st;

	if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof *address) < 0)
		error = errno;
	if (fd >= 0)
		close(fd);
	/* EAGAIN: somebody listens, and has more connections than he takes. */
	if (error == 0 || error == EAGAIN)
		return LISTEN_TAKEN;
	if (error == ENOENT)
		return LISTEN_OK;
	if (error == ECONNREFUSED && lstat(address->sun_path, &st) == 0 && S_ISSOCK(st.st_mode)) {
		*was_dead = unlink(address->sun_path) == 0;
		if (*was_dead)
			return LISTEN_OK;
		error = errno;
	}
	log_line(LOG_ERR, "%s: %s", address->sun_path,
		 error == ECONNREFUSED ? "is there and is no socket" : strerror(error));
	return LISTEN_FAILED;
}

/* Born closed, and opened before anybody can connect: who comes too early finds that nobody listens, and not a locked door. */
static bool socket_bind(int fd, const struct sockaddr_un *address, mode_t mode)
{
	mode_t mask = umask(0777);
	bool ok = bind(fd, (const struct sockaddr *)address, sizeof *address) == 0;

	umask(mask);
	return ok && chmod(address->sun_path, mode) == 0 && listen(fd, BACKLOG) == 0;
}

static enum listen_result socket_open(struct listen_socket *s, mode_t mode)
{
	enum listen_result result = clear_place(&s->address, &s->is_successor);

	if (result)
		return result;
	s->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (s->fd >= 0 && socket_bind(s->fd, &s->address, mode))
		return LISTEN_OK;
	log_line(LOG_ERR, "%s: %s", s->address.sun_path, strerror(errno));
	return LISTEN_FAILED;
}

static enum listen_result open_locked(struct listen_socket *s, mode_t mode)
{
	if (!lock(s->lock, LOCK_LIFE, F_OFD_SETLK, F_WRLCK)) /* L2 */
		return LISTEN_TAKEN;
	return socket_open(s, mode); /* L3, L4 */
}

enum listen_result listen_open(struct listen_socket *s, const char *path, mode_t mode, bool is_default)
{
	enum listen_result result = LISTEN_FAILED;

	*s = (struct listen_socket){ .fd = -1, .lock = -1, .address.sun_family = AF_UNIX };
	if (strlen(path) >= sizeof s->address.sun_path) {
		log_line(LOG_ERR, "%s: %s", path, strerror(ENAMETOOLONG));
		return LISTEN_FAILED;
	}
	strcpy(s->address.sun_path, path);
	if (!directory_prepare(path, mode, is_default))
		return LISTEN_FAILED;
	s->lock = lock_open(path);
	if (s->lock < 0)
		return LISTEN_FAILED;
	if (lock(s->lock, LOCK_START, F_OFD_SETLKW, F_WRLCK)) { /* L1 */
		result = open_locked(s, mode);
		lock(s->lock, LOCK_START, F_OFD_SETLK, F_UNLCK); /* L5 */
	}
	if (result) {
		if (s->fd >= 0)
			close(s->fd);
		close(s->lock);
	}
	return result;
}

void listen_close(struct listen_socket *s)
{
	lock(s->lock, LOCK_START, F_OFD_SETLKW, F_WRLCK);
	unlink(s->address.sun_path);
	if (s->fd >= 0)
		close(s->fd);
	close(s->lock);
}
