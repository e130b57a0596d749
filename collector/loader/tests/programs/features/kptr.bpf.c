// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// kernel pointers in values
#include "feature.h"

struct holder {
	struct task_struct __attribute__((btf_type_tag("kptr"))) *task;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct holder);
} map SEC(".maps");

SEC("tp_btf/sched_switch")
int run(__u64 *ctx)
{
	__u32 zero = 0;

	out[0] = bpf_map_lookup_elem(&map, &zero) != 0;
	return 0;
}
