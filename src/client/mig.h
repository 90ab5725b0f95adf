/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_MIG_H
#define CLIENT_MIG_H

/* The reply port that MIG's stubs use: one for each thread, made when first asked for and kept:
 *   NONE -> KEPT   mig_get_reply_port
 *   KEPT -> NONE   mig_dealloc_reply_port     a call failed; the right is destroyed
 *                  mig_reply_port_forget      the thread ends or leaves its task; the right is destroyed
 *                  a fork, in the child       the child's task holds nothing, the name means nothing in it
 * The name belongs to the task in which the thread acts, so it must be gone before the thread acts in another. */

/* Destroy the calling thread's reply port, if it has one, in the task in which it acts now. Call it before that task
 * changes and before the thread ends; harmless when the task has terminated. */
void mig_reply_port_forget(void);

#endif
