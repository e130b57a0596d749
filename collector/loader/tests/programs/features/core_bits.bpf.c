// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// CO-RE: bit-fields
#include "feature.h"

struct signal_struct___bits {
	unsigned long long before;
	unsigned int other : 9;
	unsigned int is_child_subreaper : 1;
} RELOC;

struct task_struct___bits {
	struct signal_struct___bits *signal;
	unsigned int sched_reset_on_fork : 1;
	unsigned int in_execve : 1;
} RELOC;

RUN
{
	struct task_struct___bits *task = (void *)bpf_get_current_task();
	struct signal_struct___bits *signal = BPF_CORE_READ(task, signal);

	out[0] = BPF_CORE_READ_BITFIELD_PROBED(signal, is_child_subreaper);
	out[1] = BPF_CORE_READ_BITFIELD_PROBED(task, in_execve);
	return 0;
}
