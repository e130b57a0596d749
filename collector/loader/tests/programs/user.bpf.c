// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Probes of user programs; where they go is said when they are loaded.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

__u64 entered, returned, result, argument;
__u64 fired, count;
__s64 arguments[4];

SEC("uprobe/somewhere:somefunction")
int BPF_KPROBE(enter, int first)
{
	__sync_fetch_and_add(&entered, 1);
	argument = first;
	return 0;
}

SEC("uretprobe/somewhere:somefunction")
int BPF_KRETPROBE(leave, int value)
{
	__sync_fetch_and_add(&returned, 1);
	result = value;
	return 0;
}

SEC("usdt/somewhere:provider:probe")
int BPF_USDT(probe, int first, long second, void *third, int fourth)
{
	__sync_fetch_and_add(&fired, 1);
	count = bpf_usdt_arg_cnt(ctx);
	arguments[0] = first;
	arguments[1] = second;
	arguments[2] = *(volatile __u8 *)&first;
	arguments[3] = fourth;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
