// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// CO-RE: fields by name through flavours
#include "feature.h"

struct task_struct___mine {
	char comm[16];
	int tgid;
	struct task_struct___mine *real_parent;
	void *never_there;
} RELOC;

RUN
{
	struct task_struct___mine *task = (void *)bpf_get_current_task();

	out[0] = BPF_CORE_READ(task, tgid);
	out[1] = BPF_CORE_READ(task, real_parent, tgid);
	out[2] = bpf_core_field_exists(task->never_there);
	out[3] = bpf_core_field_size(task->comm);
	out[4] = bpf_core_field_offset(task->comm);
	if (bpf_core_field_exists(task->never_there))
		out[5] = (__u64)BPF_CORE_READ(task, never_there);
	return 0;
}
