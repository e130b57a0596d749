// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// kernel functions of a wrong prototype
#include "feature.h"

struct task_struct *bpf_task_acquire___other(struct task_struct *task, int more, int still_more) __ksym __weak;
struct task_struct *bpf_task_acquire(struct task_struct *task) __ksym __weak;

SEC("tp_btf/sys_enter")
int run(__u64 *ctx)
{
	if (bpf_task_acquire___other)
		out[0] = 1;
	else if (bpf_task_acquire)
		out[0] = 2;
	return 0;
}
