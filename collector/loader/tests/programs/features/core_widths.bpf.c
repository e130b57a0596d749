// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// CO-RE: fields of another width
#include "feature.h"

struct task_struct___narrow {
	unsigned short flags;
	unsigned long long personality;
} RELOC;

SEC("tp_btf/sched_switch")
int run(__u64 *ctx)
{
	struct task_struct___narrow *task = (void *)ctx[1];

	out[0] = task->flags;
	out[1] = task->personality;
	return 0;
}
