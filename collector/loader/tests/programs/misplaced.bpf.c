// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Reads a variable of a section that no map is made of.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

int nowhere SEC("elsewhere") = 1;

SEC("raw_tp/sys_enter")
int reads(void *ctx)
{
	return nowhere;
}

char LICENSE[] SEC("license") = "GPL";
