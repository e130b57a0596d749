// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Programs that an object can do without, one that stands in for another, one that is refused, one nobody can relocate.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

const volatile __u32 wanted_thread = 0;
__u64 seen = 0;
__u64 seen_instead = 0;

extern int no_such_kernel_function(void) __ksym;

SEC("?tp_btf/no_such_tracepoint")
int typed(void *ctx)
{
	return 0;
}

SEC("?tracepoint/syscalls/sys_enter_nothing")
int classic(void *ctx)
{
	return 0;
}

SEC("?raw_tp/no_such_tracepoint")
int raw(void *ctx)
{
	return 0;
}

SEC("?kprobe/no_such_function_in_any_kernel")
int probe(void *ctx)
{
	return 0;
}

SEC("?tracepoint/syscalls/sys_enter_getpriority")
int there(void *ctx)
{
	if (wanted_thread == (__u32)bpf_get_current_pid_tgid())
		__sync_fetch_and_add(&seen, 1);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_getpriority")
int instead(void *ctx)
{
	if (wanted_thread == (__u32)bpf_get_current_pid_tgid())
		__sync_fetch_and_add(&seen_instead, 1);
	return 0;
}

SEC("raw_tp/sys_enter")
int refused(struct bpf_raw_tracepoint_args *ctx)
{
	return *(int *)ctx->args[0];
}

SEC("raw_tp/sys_enter")
int unsupplied(void *ctx)
{
	return no_such_kernel_function();
}

char LICENSE[] SEC("license") = "GPL";
