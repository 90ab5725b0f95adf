/* SPDX-License-Identifier: MIT */
#include "kernel/file.h"

#include <errno.h>
#include <mach/mig_errors.h>
#include <stdlib.h>

#include "kernel/exchange.h"
#include "kernel/image.h"
#include "kernel/message.h"
#include "kernel/notify.h"
#include "kernel/object.h"
#include "kernel/port.h"
#include "kernel/remote.h"
#include "kernel/send.h"
#include "kernel/space.h"
#include "kernel/task.h"
#include "kernel/thread.h"
#include "platform/cpu.h"
#include "platform/fd.h"

struct file {
	struct object object;
	struct fd_kept kept;
};

/* ---- life */

/* F1 */
static void file_arm(struct port *p, struct message *notice)
{
	struct right notify = { p, RIGHT_SEND_ONCE };

	lock_take(&p->lock);
	port_make_send_once_locked(p);
	notice_arm(notice, &notify);
	p->no_senders = notice;
	lock_drop(&p->lock);
}

/* A file with a port and no descriptor yet; NULL: no memory. */
static struct file *file_alloc(void)
{
	struct file *file = malloc(sizeof *file);
	struct message *notice = notice_new(MACH_NOTIFY_NO_SENDERS);

	if (file && notice && object_init(&file->object, OBJECT_FILE)) {
		file_arm(file->object.port, notice);
		return file;
	}
	if (notice)
		notice_free(notice);
	free(file);
	return NULL;
}

int file_new(int fd, struct right *right)
{
	int copy = fd_dup(fd);
	struct file *file;

	if (copy < 0)
		return errno;
	file = file_alloc();
	if (!file) {
		fd_close(copy);
		return ENOMEM;
	}
	fd_keep(&file->kept, copy);
	*right = object_make_send(&file->object);
	return 0;
}

static void file_free(struct file *file)
{
	object_end(&file->object);
	object_deinit(&file->object);
	fd_kept_close(&file->kept);
	free(file);
}

/* ---- requests */

/* The file behind a port; it lives on, unlocked, as long as the caller has a right to the port. NULL: it is no file. */
static struct file *file_of(struct port *p)
{
	struct file *file = NULL;

	lock_take(&p->lock);
	if (p->where == PORT_IN_KERNEL && p->object->type == OBJECT_FILE)
		file = container_of(p->object, struct file, object);
	lock_drop(&p->lock);
	return file;
}

static void file_answer(struct file *file, struct message *request)
{
	struct message *answer = message_new_certain(sizeof(mig_reply_header_t));

	answer->fd = fd_dup(file->kept.fd);
	image_write_result(answer, FILE_MESSAGE_ID + FILE_ANSWER_OFFSET,
			   answer->fd < 0 ? KERN_RESOURCE_SHORTAGE : KERN_SUCCESS);
	answer->dest = request->reply;
	request->reply.port = NULL;
	answer->cpu = cpu_current();
	send_always(answer);
}

bool file_deliver(struct message *m)
{
	struct file *file = file_of(m->dest.port);

	if (!file)
		return false;
	if (m->dest.kind == RIGHT_SEND_ONCE) { /* F2 */
		file_free(file);
		message_destroy(m);
		return true;
	}
	if (!image_is_request(m, FILE_MESSAGE_ID) || !right_is_valid(&m->reply))
		return false;
	file_answer(file, m);
	message_destroy(m);
	return true;
}

/* ---- the other side */

/* Takes the answer, and the descriptor out of it. */
static int answer_open(struct message *answer, int *fd)
{
	kern_return_t result;
	int error = 0;

	if (!image_read_result(answer, FILE_MESSAGE_ID + FILE_ANSWER_OFFSET, &result))
		error = EINVAL;
	else if (result || answer->fd < 0)
		error = !result || result == KERN_RESOURCE_SHORTAGE ? EMFILE : EINVAL;
	if (!error) {
		*fd = answer->fd;
		answer->fd = -1;
	}
	message_destroy(answer);
	return error;
}

/* Here, or as another process says. */
static bool file_is_behind(struct port *p)
{
	return object_is_file(p) || (port_is_proxy(p) && remote.ops.is_file(p));
}

/* Takes the right. */
static int file_request(struct thread *caller, struct right *dest, int *fd)
{
	struct message *request = message_new(sizeof(mach_msg_header_t)), *answer;

	if (!request) {
		right_destroy(dest);
		return ENOMEM;
	}
	image_write_request(request, FILE_MESSAGE_ID);
	request->dest = *dest;
	switch (exchange(caller, request, &answer)) {
	case MACH_MSG_SUCCESS:
		return answer_open(answer, fd);
	case MACH_SEND_NO_BUFFER:
		return ENOMEM;
	default:
		return EINTR;
	}
}

int file_open(struct thread *caller, mach_port_name_t name, int *fd)
{
	struct right dest;

	if (right_copyin(caller->task->space, name, MACH_MSG_TYPE_COPY_SEND, &dest) || !right_is_valid(&dest))
		return EINVAL;
	if (!file_is_behind(dest.port)) {
		right_destroy(&dest);
		return EINVAL;
	}
	return file_request(caller, &dest, fd);
}
