// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// A loop without an end.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

SEC("raw_tp/sys_enter")
int endless(void *ctx)
{
	for (;;)
		asm volatile("" ::: "memory");
}

char LICENSE[] SEC("license") = "GPL";
