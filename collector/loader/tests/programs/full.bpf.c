// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// A program at a tracepoint that is hit by nothing else here; attached again and again until the kernel refuses.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

SEC("tracepoint/sched/sched_process_hang")
int one_of_many(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
