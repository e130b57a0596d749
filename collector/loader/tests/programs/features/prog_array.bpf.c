// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// tail calls into a filled array
#include "feature.h"

int tail(struct bpf_raw_tracepoint_args *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, sizeof(__u32));
	__array(values, int(void *));
} jumps SEC(".maps") = { .values = { [1] = (void *)&tail } };

SEC("raw_tp/sys_enter")
int tail(struct bpf_raw_tracepoint_args *ctx)
{
	out[0] = 6;
	return 0;
}

RUN
{
	bpf_tail_call(ctx, &jumps, 1);
	out[1] = 1;
	return 0;
}
