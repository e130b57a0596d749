// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Reads a field that no kernel has, without asking first.
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

struct task_struct___gone {
	int never_there;
} __attribute__((preserve_access_index));

int got;

SEC("raw_tp/sys_enter")
int bad(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct___gone *task = (void *)bpf_get_current_task();

	got = BPF_CORE_READ(task, never_there);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
