// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// CO-RE: direct reads in BTF programs
#include "feature.h"

SEC("tp_btf/sched_switch")
int run(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[1];

	out[0] = task->pid + task->real_parent->tgid + task->comm[2];
	return 0;
}
