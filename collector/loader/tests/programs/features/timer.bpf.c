// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// timers in values
#include "feature.h"

struct timed {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct timed);
} map SEC(".maps");

static int fired(void *map, int *key, struct timed *value)
{
	out[0]++;
	return 0;
}

SEC("socket")
int run(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct timed *value = bpf_map_lookup_elem(&map, &zero);

	if (!value)
		return 1;
	out[1] = bpf_timer_init(&value->timer, &map, 1);
	out[2] = bpf_timer_set_callback(&value->timer, fired);
	return 0;
}
