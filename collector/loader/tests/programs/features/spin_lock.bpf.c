// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// spin locks in values
#include "feature.h"

struct locked {
	struct bpf_spin_lock lock;
	__u64 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct locked);
} map SEC(".maps");

SEC("tc")
int run(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct locked *value = bpf_map_lookup_elem(&map, &zero);

	if (!value)
		return 1;
	bpf_spin_lock(&value->lock);
	value->count += 2;
	out[0] = value->count;
	bpf_spin_unlock(&value->lock);
	return 0;
}
