// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// callbacks and bpf_loop
#include "feature.h"

static int each(__u32 index, void *data)
{
	*(__u64 *)data += index;
	return 0;
}

RUN
{
	__u64 sum = 0;

	bpf_loop(5, each, &sum, 0);
	out[0] = sum;
	return 0;
}
