/* SPDX-License-Identifier: MIT */
/* Names of ports of other processes: rights coalesce however they arrive, and send rights are counted. */
#include "family.h"

static void the_same_right_twice_is_one_name(struct process *owner, struct process *holder)
{
	mach_port_t port = port_at(owner), name = give_send_to(owner, port, holder);

	expect_eq(give_send_to(owner, port, holder), name);
	expect_eq(type_at(holder, name), MACH_PORT_TYPE_SEND);
	expect_eq(refs_at(holder, name, MACH_PORT_RIGHT_SEND), 2);
	await(srights_at(owner, port) == 1);
	expect_ok(deallocate_at(holder, name));
	expect_ok(deallocate_at(holder, name));
	await(srights_at(owner, port) == 0);
	expect_ok(destroy_at(owner, port));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		pair_tests(the_same_right_twice_is_one_name),
	};

	return family_main(argc, argv, tests);
}
