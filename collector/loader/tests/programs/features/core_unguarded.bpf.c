// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// CO-RE: a field nobody has, read without asking
#include "feature.h"

struct task_struct___gone {
	int never_there;
} RELOC;

RUN
{
	struct task_struct___gone *task = (void *)bpf_get_current_task();

	out[0] = BPF_CORE_READ(task, never_there);
	return 0;
}
