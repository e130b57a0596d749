// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// A tracepoint with arguments in a flexible array, variables, a ring buffer, a hash map, a raw tracepoint, tp_btf.
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct event {
	__u64 argument;
	__u32 pid;
	__u32 sum;
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 0);
	__type(key, __u32);
	__type(value, __u64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} sized SEC(".maps");

const volatile __u32 wanted_thread = 0;
const volatile __u32 sized_max_entries = 77;
const volatile char text[8] = "unset";
__u32 addend = 40;
__u64 seen_raw = 0;
__u64 seen_btf = 0;
static __u32 calls;

static __attribute__((noinline)) __u32 twice(__u32 x)
{
	calls++;
	return x * 2;
}

__attribute__((noinline)) __u32 sum_of(__u32 x)
{
	return twice(x) + addend;
}

static __attribute__((noinline)) int count(__u32 key)
{
	__u64 one = 1, *value = bpf_map_lookup_elem(&counts, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
	else
		bpf_map_update_elem(&counts, &key, &one, BPF_ANY);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_getpriority")
int on_getpriority(struct trace_event_raw_sys_enter *ctx)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct event *event;

	if (wanted_thread != (__u32)bpf_get_current_pid_tgid())
		return 0;
	count((__u32)ctx->args[1]);
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return 0;
	event->argument = ctx->args[1];
	event->pid = pid;
	event->sum = sum_of(1);
	for (int i = 0; i < 8; i++)
		event->comm[i] = text[i];
	bpf_ringbuf_submit(event, 0);
	return 0;
}

SEC("raw_tp/sys_enter")
int on_raw(struct bpf_raw_tracepoint_args *ctx)
{
	if (wanted_thread == (__u32)bpf_get_current_pid_tgid() && ctx->args[1] == 140)
		__sync_fetch_and_add(&seen_raw, 1);
	return 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(on_btf, struct pt_regs *regs, long id)
{
	if (wanted_thread == (__u32)bpf_get_current_pid_tgid() && id == 140)
		__sync_fetch_and_add(&seen_btf, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
