// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Calls a function of the kernel that it can do without, but does not ask whether it is there.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

extern void bpf_no_such_function(void) __ksym __weak;

SEC("raw_tp/sys_enter")
int calls(void *ctx)
{
	bpf_no_such_function();
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
