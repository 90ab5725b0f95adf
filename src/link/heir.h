/* SPDX-License-Identifier: MIT */
#pragma once

/* Heir: who gets a port whose owner is killed. If port-destroyed was asked for with a right to a port of another node X,
 * nothing of the owner O runs any more that could send the notification, and the receive right with it. So X knows:
 *
 *   E1  as the request is made, or has come with the port from its former home, O tells X by HEIR: the index of an export of
 *       the port to X (one is made and kept for this, if X holds nothing of it), and under which index of X's it would notify
 *   E2  when the request changes O tells the same for no index; when the port moves or dies X hears of that anyway, and when
 *       the right to notify is used or gone X forgets it by itself
 *   E3  at the end of its link to O X makes the port: of its proxy for it, so that its own names and rights stay, or a new one.
 *       It takes the right to notify out of O's hands, and sends itself the notification with the receive right
 *
 * Limits. What O had in the port's queue is lost. Rights of other nodes die with O, except those that went by way of X because
 * the port had moved from there. From the move of a port with its request until its new home has both, there is no heir. If
 * the port to be notified moves from X after E1, X sends on the notification as long as it is on the way to there. */

#include <stdbool.h>
#include <stdint.h>

struct export;
struct frame_heir;
struct link;
struct port;

/* remote_ops.request_changed(): E1 and E2. The port is referenced, and no lock held. */
void heir_tell(struct port *port);

bool heir_take(struct link *from, const struct frame_heir *f);
/* The peer's port of that index has moved or died; the export that was to be notified has ended. */
void heir_forget_locked(struct link *from, uint32_t index);
void heir_forget_export_locked(const struct export *notify);
/* E3 */
void heir_end_link(struct link *link);
