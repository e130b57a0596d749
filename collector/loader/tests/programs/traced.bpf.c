// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Hooks that need trampolines.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

__u64 seen;
const volatile __u32 wanted_thread = 0;

SEC("fentry/do_sys_openat2")
int BPF_PROG(entered)
{
	if (wanted_thread == (__u32)bpf_get_current_pid_tgid())
		__sync_fetch_and_add(&seen, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
