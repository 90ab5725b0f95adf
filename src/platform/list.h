/* SPDX-License-Identifier: MIT */
#pragma once

/* Intrusive, circular, doubly linked lists. A link that is in no list points at itself, so unlinking twice is
 * harmless. The storage belongs to whoever embeds the link; a list never owns its elements. */

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next, *prev;
};

#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_is_empty(const struct list *l)
{
	return l->next == l;
}

/* For a link: whether it is in a list. */
static inline bool list_is_linked(const struct list *l)
{
	return l->next != l;
}

static inline void list_insert_between(struct list *link, struct list *prev, struct list *next)
{
	link->prev = prev;
	link->next = next;
	prev->next = link;
	next->prev = link;
}

static inline void list_append(struct list *l, struct list *link)
{
	list_insert_between(link, l->prev, l);
}

static inline void list_prepend(struct list *l, struct list *link)
{
	list_insert_between(link, l, l->next);
}

static inline void list_unlink(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

/* Moves all of @from to the end of @to. */
static inline void list_splice(struct list *to, struct list *from)
{
	if (list_is_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define list_first(list, type, member) container_of((list)->next, type, member)

#define list_next(var, type, member) container_of((var)->member.next, type, member)

/* Declares @var. Safe against unlinking of the current element. */
#define list_for_each(var, list, type, member) \
	for (type *var = list_first(list, type, member), *var##_next = list_next(var, type, member); \
	     &var->member != (list); var = var##_next, var##_next = list_next(var, type, member))
