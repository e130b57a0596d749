// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// kernel variables with a type
#include "feature.h"

extern const struct rq runqueues __ksym;
extern const int bpf_prog_active __ksym __weak;
extern const struct task_struct no_such_variable_here __ksym __weak;

RUN
{
	struct rq *rq = bpf_per_cpu_ptr(&runqueues, 0);

	out[0] = rq ? rq->cpu + 1 : 0;
	out[1] = &no_such_variable_here ? 1 : 2;
	out[2] = &bpf_prog_active ? 1 : 2;
	return 0;
}
