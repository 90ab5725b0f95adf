// SPDX-License-Identifier: MIT
#include "layout.h"

// The functions have C linkage: this names each of them, and the linker finds the library's.
static const void *const functions[] = {
	(void *)mach_msg,
	(void *)mach_msg_trap,
	(void *)mach_reply_port,
	(void *)mach_task_self,
	(void *)mach_thread_self,
	(void *)mach_host_self,
	(void *)mach_port_names,
	(void *)mach_port_type,
	(void *)mach_port_rename,
	(void *)mach_port_allocate_name,
	(void *)mach_port_allocate,
	(void *)mach_port_destroy,
	(void *)mach_port_deallocate,
	(void *)mach_port_get_refs,
	(void *)mach_port_mod_refs,
	(void *)mach_port_set_qlimit,
	(void *)mach_port_set_mscount,
	(void *)mach_port_set_seqno,
	(void *)mach_port_get_receive_status,
	(void *)mach_port_get_srights,
	(void *)mach_port_get_set_status,
	(void *)mach_port_move_member,
	(void *)mach_port_request_notification,
	(void *)mach_port_insert_right,
	(void *)mach_port_extract_right,
	(void *)mach_port_set_protected_payload,
	(void *)mach_port_clear_protected_payload,
	(void *)task_create,
	(void *)task_terminate,
	(void *)task_get_special_port,
	(void *)task_set_special_port,
	(void *)mach_ports_register,
	(void *)mach_ports_lookup,
	(void *)thread_abort,
	(void *)thread_terminate,
	(void *)vm_allocate,
	(void *)vm_deallocate,
	(void *)host_get_time,
	(void *)mach_msg_server,
	(void *)mach_msg_server_once,
	(void *)mach_msg_server_timeout,
	(void *)mach_msg_destroy,
	(void *)mig_init,
	(void *)mig_allocate,
	(void *)mig_deallocate,
	(void *)mig_get_reply_port,
	(void *)mig_put_reply_port,
	(void *)mig_dealloc_reply_port,
	(void *)mig_strncpy,
	(void *)mig_reply_setup,
	(void *)mach_error_string,
	(void *)mach_error_type,
	(void *)mach_error,
	(void *)fileport_makefd,
	(void *)fileport_makeport,
	(void *)portunus_port_fd,
	(void *)portunus_task_enter,
	(void *)portunus_thread_create,
	(void *)portunus_thread_port,
	(void *)&vm_page_size,
};

int main()
{
	for (const void *f : functions)
		if (!f)
			return 1;
	return vm_page_size != 0 && round_page(vm_page_size - 1) == vm_page_size ? 0 : 2;
}
