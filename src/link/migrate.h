/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct frame_index;
struct frame_move;
struct frame_ticket;
struct link;
struct message;
struct port;

void migrate_announce(struct message *m);
void migrate_retract(struct message *m);
uint32_t migrate_take_announced_locked(struct link *link, struct port *port);
struct port *migrate_arrive_locked(struct link *from, uint32_t index);
bool migrate_take_dest_locked(struct link *from, uint32_t index, struct message *m);
bool migrate_take_move(struct link *from, const struct frame_move *f);
bool migrate_take_moved(struct link *from, const struct frame_ticket *f);
bool migrate_take_flush(struct link *from, const struct frame_index *f);
bool migrate_take_flushed(struct link *from, const struct frame_ticket *f);
bool migrate_take_ready(struct link *from, const struct frame_index *f);
bool migrate_take_offer(struct link *from, const struct frame_ticket *f);
void migrate_end_link(struct link *link);
