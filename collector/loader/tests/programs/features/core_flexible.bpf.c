// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// CO-RE: flexible arrays and elements
#include "feature.h"

RUN
{
	struct trace_event_raw_sys_enter *enter = (void *)ctx;
	struct task_struct *task = (void *)bpf_get_current_task();

	out[0] = bpf_core_field_offset(struct trace_event_raw_sys_enter, args[3]);
	out[1] = bpf_core_field_offset(struct task_struct, comm[3]);
	out[2] = bpf_core_field_exists(struct cgroup_bpf, effective[2]);
	out[3] = BPF_CORE_READ(task, files, fd_array[0]) != 0;
	out[4] = (__u64)&enter->args[2] - (__u64)enter;
	return 0;
}
