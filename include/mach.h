/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_MACH_UMBRELLA_H
#define PORTUNUS_MACH_UMBRELLA_H

/* The whole Mach interface. */
#include <mach/boolean.h>
#include <mach/error.h>
#include <mach/kern_return.h>
#include <mach/mach_init.h>
#include <mach/mach_param.h>
#include <mach/mach_port.h>
#include <mach/mach_traps.h>
#include <mach/mach_types.h>
#include <mach/message.h>
#include <mach/mig_errors.h>
#include <mach/mig_support.h>
#include <mach/notify.h>
#include <mach/port.h>
#include <mach/std_types.h>
#include <mach/task_special_ports.h>
#include <mach/time_value.h>
#include <mach/vm_param.h>
#include <portunus/export.h>

PORTUNUS_BEGIN_DECLS

/* ---- tasks and threads -------------------------------------------------------------------------------------------
 * Calls on a port that is no right of the caller answer MACH_SEND_INVALID_DEST, as in <mach/mach_port.h>; on one that is
 * a right to something else, what each call says; if another process ends during the call, MIG_SERVER_DIED. A result pointer that is null or cannot be written is
 * KERN_INVALID_ADDRESS, lack of memory KERN_RESOURCE_SHORTAGE. Threads: any. */

/* task_create - make a task in the process of its parent, with an empty name space and no threads
 *   target_task      the parent: its bootstrap and registered ports are inherited
 *   inherit_memory   FALSE; all tasks of a process share its memory in any case
 *   child_task       set to a send right of the caller to the new task
 * The task lives until task_terminate; giving up the right does not end it.
 *   KERN_INVALID_TASK   target_task is no task
 * Source: probe 13-tasks; that tasks are threads of one process is ours. */
PORTUNUS_EXPORT kern_return_t task_create(task_t target_task, boolean_t inherit_memory, task_t *child_task);

/* task_terminate - destroy a task's name space and end its part in everything
 *   target_task   the task; rights to it become dead names
 * Its receive rights die with their messages, its send and send-once rights are given up with their notifications, and
 * requests left with it are answered. Threads that wait in it are interrupted; threads of this process that acted in it
 * go on to run, but every call they make in it fails, until they enter another task. Terminating the first task of
 * another process ends that process, as SIGKILL does.
 *   KERN_INVALID_ARGUMENT   target_task is no task
 * Source: probe 13-tasks. */
PORTUNUS_EXPORT kern_return_t task_terminate(task_t target_task);

/* task_get_special_port - a right to one of the ports that a task is born with
 *   which_port     TASK_KERNEL_PORT or TASK_BOOTSTRAP_PORT
 *   special_port   set to a send right of the caller, with one more reference, or MACH_PORT_NULL if there is none
 *   KERN_INVALID_ARGUMENT   another which_port, or task is no task
 * Source: GNU Mach. */
PORTUNUS_EXPORT kern_return_t task_get_special_port(task_t task, int which_port, mach_port_t *special_port);

/* task_set_special_port - change one of them
 *   special_port   a send right of the caller, which is copied, or MACH_PORT_NULL
 * Another kernel port is what task_get_special_port gives from then on; mach_task_self and whoever has a right to the
 * task's own port go on as before.
 *   KERN_INVALID_ARGUMENT     another which_port, or task is no task
 *   MACH_SEND_INVALID_RIGHT   special_port is no send right
 * Source: GNU Mach. */
PORTUNUS_EXPORT kern_return_t task_set_special_port(task_t task, int which_port, mach_port_t special_port);

/* mach_ports_register - leave a few send rights with a task, for its children and whoever asks
 *   init_port_set      send rights of the caller, which are copied; MACH_PORT_NULL is allowed among them
 *   init_port_setCnt   at most TASK_PORT_REGISTER_MAX; the rest become MACH_PORT_NULL
 * What was registered before is given up.
 *   KERN_INVALID_ARGUMENT     too many, or target_task is no task
 *   MACH_SEND_INVALID_RIGHT   one of them is no send right
 * Source: GNU Mach. */
PORTUNUS_EXPORT kern_return_t mach_ports_register(task_t target_task, mach_port_array_t init_port_set,
						  mach_msg_type_number_t init_port_setCnt);

/* mach_ports_lookup - the rights that are registered with a task
 *   init_port_set      set to an array of send rights (or MACH_PORT_NULL), the caller's with one more reference each; the
 *                      array is vm_deallocate'd. It has TASK_PORT_REGISTER_MAX elements, or as many as the task was given
 *                      when it began, if those were more
 *   init_port_setCnt   set to its length
 *   KERN_INVALID_ARGUMENT   target_task is no task
 * Source: GNU Mach. */
PORTUNUS_EXPORT kern_return_t mach_ports_lookup(task_t target_task, mach_port_array_t *init_port_set,
						mach_msg_type_number_t *init_port_setCnt);

/* thread_abort - interrupt a thread that waits in mach_msg
 *   target_thread   the thread
 * Its wait ends with MACH_SEND_INTERRUPTED or MACH_RCV_INTERRUPTED (which mach_msg hides without the INTERRUPT options).
 * A thread that does not wait is not disturbed, now or later.
 *   KERN_INVALID_ARGUMENT   target_thread is no thread, or the caller itself
 * Source: probes 06-receive, 16-misc. */
PORTUNUS_EXPORT kern_return_t thread_abort(thread_t target_thread);

/* thread_terminate - end a thread
 *   target_thread   a thread; rights to it become dead names
 * Its wait is cut short, and it ends as if by pthread_exit at its next step inside this library; the caller itself ends
 * at once. Code of the program that never calls the library is not interrupted.
 *   KERN_INVALID_ARGUMENT   target_thread is no thread
 * Source: probes 06-receive, 16-misc; where the thread ends is ours. */
PORTUNUS_EXPORT kern_return_t thread_terminate(thread_t target_thread);

/* ---- memory and time --------------------------------------------------------------------------------------------- */

/* vm_allocate - fresh zeroed memory
 *   target_task   any task of this process; they share its memory
 *   address       where, if anywhere is FALSE, rounded down to a page; set to where it is
 *   size          bytes, rounded up to pages; 0 succeeds and sets address to 0
 *   anywhere      TRUE: the library chooses
 * The memory belongs to the caller; vm_deallocate it. Sent out of line with the deallocate bit it moves uncopied.
 *   KERN_INVALID_ADDRESS    the place cannot hold memory
 *   KERN_NO_SPACE           the place is taken
 *   KERN_RESOURCE_SHORTAGE  no memory, or no place is large enough
 *   KERN_INVALID_ARGUMENT   target_task is no task of this process
 * Source: probe 10-ool. */
PORTUNUS_EXPORT kern_return_t vm_allocate(vm_task_t target_task, vm_address_t *address, vm_size_t size,
					  boolean_t anywhere);

/* vm_deallocate - free memory of vm_allocate or of a received message
 *   address   where it begins    size   bytes, as allocated or received; 0 is fine
 * All or nothing, in whole pages; a part of what one vm_allocate gave may be freed by itself.
 *   KERN_INVALID_ADDRESS    the range wraps around, or a page of it is not allocated: free, in a message, or not from here
 *   KERN_INVALID_ARGUMENT   target_task is no task of this process
 * Source: probe 10-ool. */
PORTUNUS_EXPORT kern_return_t vm_deallocate(vm_task_t target_task, vm_address_t address, vm_size_t size);

/* host_get_time - the time of day
 *   host           mach_host_self()
 *   current_time   set to seconds and microseconds since 1970
 *   KERN_INVALID_HOST   host is no host
 * Source: GNU Mach. */
PORTUNUS_EXPORT kern_return_t host_get_time(host_t host, time_value_t *current_time);

/* ---- servers ----------------------------------------------------------------------------------------------------- */

/* mach_msg_server - receive requests, let demux answer them, send the replies, until an error
 *   demux      a server routine as MIG writes them: fills in the reply; returns FALSE if the request is not its own
 *   max_size   bytes of the largest request, and of the largest reply, header included; a larger request still comes, in
 *              a buffer that grows for it alone
 *   rcv_name   a receive right or a port set
 * demux finds in reply what mig_reply_setup makes, and leaves there a mig_reply_header_t or a complex message. Success
 * (or a complex reply, or one shorter than a mig_reply_header_t): the reply is sent. RetCode is MIG_NO_REPLY: nothing is
 * sent, demux took the request and its reply right. Another error: the request is destroyed with all that it carries
 * and the error is sent to its reply right; MIG_DESTROY_REQUEST destroys that, too, and sends nothing.
 * Never does a client stop or delay the server: a reply that cannot be delivered, or would wait in the full queue of a send
 * right, is destroyed, as is a request that does not fit into the task. Returns an error, never success:
 *   KERN_RESOURCE_SHORTAGE   no memory for the buffers
 *   KERN_INVALID_ARGUMENT    demux is null
 *   MACH_RCV_INVALID_NAME, MACH_RCV_IN_SET, MACH_RCV_PORT_DIED, MACH_RCV_PORT_CHANGED and others of the receive
 *   MACH_SEND_INVALID_RIGHT, _TYPE, _MEMORY, _HEADER, _REPLY, MACH_SEND_MSG_TOO_SMALL   demux made a reply that is wrong
 * Source: GNU; that clients cannot delay it, and the growing buffer, are ours. */
PORTUNUS_EXPORT mach_msg_return_t mach_msg_server(boolean_t (*demux)(mach_msg_header_t *request,
								     mach_msg_header_t *reply),
						  mach_msg_size_t max_size, mach_port_t rcv_name);

/* mach_msg_server_once - the same for one request
 * Returns MACH_MSG_SUCCESS when one request was served and its reply sent, destroyed or left to demux; else as above. */
PORTUNUS_EXPORT mach_msg_return_t mach_msg_server_once(boolean_t (*demux)(mach_msg_header_t *request,
									  mach_msg_header_t *reply),
						       mach_msg_size_t max_size, mach_port_t rcv_name);

/* mach_msg_server_timeout - mach_msg_server with options
 *   option    added to each receive: MACH_RCV_TIMEOUT, MACH_RCV_INTERRUPT, a trailer (demux finds it behind the
 *             request); others are ignored
 *   timeout   milliseconds to wait for each request
 * Returns as mach_msg_server, and MACH_RCV_TIMED_OUT or MACH_RCV_INTERRUPTED as asked for. Source: GNU. */
PORTUNUS_EXPORT mach_msg_return_t mach_msg_server_timeout(boolean_t (*demux)(mach_msg_header_t *request,
									     mach_msg_header_t *reply),
							  mach_msg_size_t max_size, mach_port_t rcv_name,
							  mach_msg_option_t option, mach_msg_timeout_t timeout);

/* mach_msg_destroy - give back all that a message holds
 *   msg   a message that was received, that a failed send left or gave back, or one never sent
 * The right in msgh_remote_port and those in the body go by their disposition: a receive right dies, of a send right one
 * reference goes, a send-once right yields its notification; what MAKE says is made and then dropped, with the
 * notifications that causes; COPY leaves alone what it would have copied. Out-of-line memory with the deallocate bit is vm_deallocate'd. msgh_local_port is left alone: in a received message it is no right of
 * the message, and who put a right there himself knows. The buffer is the caller's, but what it says is no longer true. The
 * walk ends at a descriptor that does not fit the message. Source: GNU. */
PORTUNUS_EXPORT void mach_msg_destroy(mach_msg_header_t *msg);

PORTUNUS_END_DECLS

#endif
