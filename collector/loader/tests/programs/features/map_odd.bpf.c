// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// maps without types, queues, storage, sockets
#include "feature.h"

#define SIZED(name, kind, entries, key, value, map_flag) \
	struct { \
		__uint(type, kind); \
		__uint(max_entries, entries); \
		__uint(map_flags, map_flag); \
		__uint(key_size, key); \
		__uint(value_size, value); \
	} name SEC(".maps")

SIZED(queue, BPF_MAP_TYPE_QUEUE, 8, 0, 8, 0);
SIZED(stack, BPF_MAP_TYPE_STACK, 8, 0, 8, 0);
SIZED(perf, BPF_MAP_TYPE_PERF_EVENT_ARRAY, 0, 4, 4, 0);
SIZED(traces, BPF_MAP_TYPE_STACK_TRACE, 16, 4, 127 * 8, 0);
SIZED(cgroups, BPF_MAP_TYPE_CGROUP_ARRAY, 1, 4, 4, 0);
SIZED(sockets, BPF_MAP_TYPE_SOCKHASH, 8, 4, 8, 0);
SIZED(devices, BPF_MAP_TYPE_DEVMAP, 8, 4, 4, 0);
SIZED(cpus, BPF_MAP_TYPE_CPUMAP, 2, 4, 4, 0);

struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__uint(max_entries, 64);
	__uint(map_extra, 3);
	__type(value, __u32);
} bloom SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} storage SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

RUN
{
	__u64 value = ctx->args[0];

	bpf_map_push_elem(&queue, &value, 0);
	bpf_map_pop_elem(&queue, &out[0]);
	out[1] = bpf_ringbuf_query(&ring, BPF_RB_RING_SIZE);
	return 0;
}
