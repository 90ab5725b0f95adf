/* SPDX-License-Identifier: MIT */
#include "link/migrate.h"

#include <stddef.h>

#include "link/frame.h"

void migrate_announce(struct message *m)
{
	(void)m;
}
void migrate_retract(struct message *m)
{
	(void)m;
}
uint32_t migrate_take_announced_locked(struct link *link, struct port *port)
{
	(void)link;
	(void)port;
	return 0;
}
struct port *migrate_arrive_locked(struct link *from, uint32_t index)
{
	(void)from;
	(void)index;
	return NULL;
}
bool migrate_take_dest_locked(struct link *from, uint32_t index, struct message *m)
{
	(void)from;
	(void)index;
	(void)m;
	return false;
}
bool migrate_take_move(struct link *from, const struct frame_move *f)
{
	(void)from;
	(void)f;
	return false;
}
bool migrate_take_moved(struct link *from, const struct frame_ticket *f)
{
	(void)from;
	(void)f;
	return false;
}
bool migrate_take_flush(struct link *from, const struct frame_index *f)
{
	(void)from;
	(void)f;
	return false;
}
bool migrate_take_flushed(struct link *from, const struct frame_ticket *f)
{
	(void)from;
	(void)f;
	return false;
}
bool migrate_take_ready(struct link *from, const struct frame_index *f)
{
	(void)from;
	(void)f;
	return false;
}
bool migrate_take_offer(struct link *from, const struct frame_ticket *f)
{
	(void)from;
	(void)f;
	return false;
}
void migrate_end_link(struct link *link)
{
	(void)link;
}
