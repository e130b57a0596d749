// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Maps of all the odd forms, configuration, kernel symbols, tail calls, odd section names.
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

extern int LINUX_KERNEL_VERSION __kconfig;
extern bool CONFIG_THAT_NOBODY_HAS __kconfig __weak;
extern const void schedule __ksym;
extern const void no_such_symbol_here __ksym __weak;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
};

struct inner first SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = {
	.values = { [1] = &first },
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u64);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
		__uint(key_size, sizeof(__u32));
		__uint(value_size, sizeof(__u32));
	});
} perf_of SEC(".maps");

int tail(struct bpf_raw_tracepoint_args *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__array(values, int(void *));
} jumps SEC(".maps") = {
	.values = { [0] = (void *)&tail },
};

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 100);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, 127 * sizeof(__u64));
} stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} percpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} cgroups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} perf SEC(".maps");

__u64 version, address, no_address, tailed, from_inner;
const volatile __u32 wanted_thread = 0;

SEC("raw_tp/sys_enter")
int tail(struct bpf_raw_tracepoint_args *ctx)
{
	tailed = 1;
	return 0;
}

static int each(__u32 index, void *data)
{
	*(__u64 *)data += index;
	return 0;
}

SEC("raw_tp/sys_enter")
int entry(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 one = 1, zero = 0;
	__u64 sum = 0, *value;
	void *inner;

	if (wanted_thread != (__u32)bpf_get_current_pid_tgid() || ctx->args[1] != 140)
		return 0;
	version = LINUX_KERNEL_VERSION;
	if (CONFIG_THAT_NOBODY_HAS)
		version = 0;
	address = (__u64)&schedule;
	no_address = 2 + (__u64)&no_such_symbol_here;
	inner = bpf_map_lookup_elem(&outer, &one);
	if (inner) {
		value = bpf_map_lookup_elem(inner, &zero);
		if (value)
			from_inner = *value;
	}
	bpf_loop(4, each, &sum, 0);
	bpf_map_update_elem(&percpu, &zero, &sum, BPF_ANY);
	bpf_tail_call(ctx, &jumps, 0);
	return 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(locks, struct pt_regs *regs, long id)
{
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	return 0;
}

SEC("socket1")
int packets(struct __sk_buff *skb)
{
	return 0;
}

SEC("classifier/ingress/main")
int traffic(struct __sk_buff *skb)
{
	return -1;
}

SEC("perf_event/profiler")
int sample(struct bpf_perf_event_data *ctx)
{
	return 0;
}

SEC("kprobe/schedule")
int probe(struct pt_regs *ctx)
{
	return 0;
}

SEC("uprobe//bin/sh:no_such_function_here")
int user(struct pt_regs *ctx)
{
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_nothing")
int nowhere(void *ctx)
{
	return 0;
}

SEC("raw_tp/no_such_tracepoint")
int nowhere_raw(void *ctx)
{
	return 0;
}

SEC("?tp_btf/no_such_tracepoint")
int optional(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
