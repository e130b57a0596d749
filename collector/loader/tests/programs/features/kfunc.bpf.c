// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// kernel functions
#include "feature.h"

extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern void no_such_function_here(void) __ksym __weak;

SEC("tp_btf/sys_enter")
int run(__u64 *ctx)
{
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	if (no_such_function_here)
		no_such_function_here();
	return 0;
}
