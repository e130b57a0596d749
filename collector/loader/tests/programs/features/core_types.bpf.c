// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// CO-RE: types
#include "feature.h"

struct no_such_type___x {
	int a;
} RELOC;
struct task_struct___empty {
};
struct list_head___same {
	struct list_head___same *next, *prev;
};
struct list_head___wrong {
	int next;
};
typedef void (*btf_trace_sched_process_exit___wrong)(void *, int, int, int, int);

RUN
{
	out[0] = bpf_core_type_exists(struct task_struct) + 2 * bpf_core_type_exists(struct no_such_type___x);
	out[1] = bpf_core_type_size(struct task_struct___empty);
	out[2] = bpf_core_type_size(struct no_such_type___x);
	out[3] = bpf_core_type_matches(struct list_head___same);
	out[4] = bpf_core_type_matches(struct list_head___wrong);
	out[5] = bpf_core_type_matches(btf_trace_sched_process_exit___wrong);
	out[6] = bpf_core_type_id_kernel(struct task_struct);
	out[7] = bpf_core_type_id_local(struct list_head___wrong);
	return 0;
}
