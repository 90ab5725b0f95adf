/* SPDX-License-Identifier: MIT */
#include "names.h"

#include <mach.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
	const struct name *x = a, *y = b;

	return (x->name > y->name) - (x->name < y->name);
}

static void fill(struct names *names, const mach_port_name_t *list, const mach_port_type_t *types)
{
	for (unsigned int i = 0; i < names->n; i++) {
		struct name *name = &names->list[i];

		name->name = list[i];
		name->type = types[i];
		for (mach_port_right_t right = 0; right < MACH_PORT_RIGHT_NUMBER; right++)
			if (mach_port_get_refs(mach_task_self(), list[i], right, &name->refs[right]))
				name->refs[right] = 0;
	}
	qsort(names->list, names->n, sizeof *names->list, by_name);
}

kern_return_t names_init(struct names *names)
{
	mach_msg_type_number_t n_types = 0;
	mach_port_name_t *list = NULL;
	mach_port_type_t *types = NULL;
	kern_return_t kr;

	*names = (struct names){ 0 };
	mig_dealloc_reply_port(mig_get_reply_port());
	kr = mach_port_names(mach_task_self(), &list, &names->n, &types, &n_types);
	if (kr)
		return kr;
	names->list = calloc(names->n + 1, sizeof *names->list);
	if (names->list)
		fill(names, list, types);
	else
		kr = KERN_RESOURCE_SHORTAGE;
	vm_deallocate(mach_task_self(), (vm_address_t)list, names->n * sizeof *list);
	vm_deallocate(mach_task_self(), (vm_address_t)types, n_types * sizeof *types);
	return kr;
}

void names_deinit(struct names *names)
{
	free(names->list);
}

static void tell(const char *who, const char *what, const struct name *name)
{
	fprintf(stderr, "portfs: %s %s name %#x, type %#x, references", who, what, name->name, name->type);
	for (mach_port_right_t right = 0; right < MACH_PORT_RIGHT_NUMBER; right++)
		fprintf(stderr, " %u", name->refs[right]);
	fputc('\n', stderr);
}

/* A send right that died meanwhile is a dead name with as many references. */
static int is_same(const struct name *then, const struct name *now)
{
	if (then->type == MACH_PORT_TYPE_SEND && now->type == MACH_PORT_TYPE_DEAD_NAME)
		return then->refs[MACH_PORT_RIGHT_SEND] == now->refs[MACH_PORT_RIGHT_DEAD_NAME];
	return memcmp(then, now, sizeof *now) == 0;
}

/* Both lists are sorted: walk them side by side. */
static unsigned int compare(const struct names *then, const struct names *now, const char *who)
{
	unsigned int differences = 0, i = 0, j = 0;
	int order;

	while (i < then->n || j < now->n) {
		if (i == then->n)
			order = 1;
		else if (j == now->n)
			order = -1;
		else
			order = by_name(&then->list[i], &now->list[j]);
		if (order < 0) {
			tell(who, "has lost", &then->list[i]);
			differences++;
		} else if (order > 0 || !is_same(&then->list[i], &now->list[j])) {
			tell(who, "has left over", &now->list[j]);
			differences++;
		}
		i += order <= 0;
		j += order >= 0;
	}
	return differences;
}

unsigned int names_left(const struct names *then, const char *who)
{
	unsigned int differences;
	struct names now;

	if (names_init(&now))
		return 1;
	differences = compare(then, &now, who);
	names_deinit(&now);
	return differences;
}
