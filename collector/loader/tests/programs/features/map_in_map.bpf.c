// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// maps of maps
#include "feature.h"

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
};

struct inner first SEC(".maps"), second SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 3);
	__type(key, __u32);
	__array(values, struct inner);
} array SEC(".maps") = { .values = { [0] = &first, [2] = &second } };

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 3);
	__type(key, __u32);
	__array(values, struct inner);
} hash SEC(".maps");

RUN
{
	__u32 two = 2, zero = 0;
	__u64 *value;
	void *inner = bpf_map_lookup_elem(&array, &two);

	if (!inner)
		return 1;
	value = bpf_map_lookup_elem(inner, &zero);
	if (!value)
		return 2;
	*value = 5;
	value = bpf_map_lookup_elem(&second, &zero);
	out[0] = value ? *value : 0;
	return 0;
}
