// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// maps of many types
#include "feature.h"

#define MAP(name, kind, entries, key_type, value_type, map_flag) \
	struct { \
		__uint(type, kind); \
		__uint(max_entries, entries); \
		__uint(map_flags, map_flag); \
		__type(key, key_type); \
		__type(value, value_type); \
	} name SEC(".maps")

struct lpm {
	__u32 prefix;
	__u8 address[4];
};

MAP(hash, BPF_MAP_TYPE_HASH, 8, __u32, __u64, BPF_F_NO_PREALLOC);
MAP(array, BPF_MAP_TYPE_ARRAY, 8, __u32, __u64, BPF_F_MMAPABLE);
MAP(lru, BPF_MAP_TYPE_LRU_HASH, 8, __u32, __u64, 0);
MAP(percpu_hash, BPF_MAP_TYPE_PERCPU_HASH, 8, __u32, __u64, 0);
MAP(percpu_array, BPF_MAP_TYPE_PERCPU_ARRAY, 8, __u32, __u64, 0);
MAP(lru_percpu, BPF_MAP_TYPE_LRU_PERCPU_HASH, 8, __u32, __u64, 0);
MAP(trie, BPF_MAP_TYPE_LPM_TRIE, 8, struct lpm, __u64, BPF_F_NO_PREALLOC);

RUN
{
	__u32 key = 3;
	__u64 value = ctx->args[0], *found;

	bpf_map_update_elem(&hash, &key, &value, BPF_ANY);
	bpf_map_update_elem(&array, &key, &value, BPF_ANY);
	bpf_map_update_elem(&percpu_array, &key, &value, BPF_ANY);
	found = bpf_map_lookup_elem(&hash, &key);
	out[0] = found ? *found : 0;
	found = bpf_map_lookup_elem(&array, &key);
	out[1] = found ? *found : 0;
	found = bpf_map_lookup_elem(&percpu_array, &key);
	out[2] = found ? *found : 0;
	return 0;
}
