// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// A program that the verifier refuses.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

SEC("raw_tp/sys_enter")
int bad(struct bpf_raw_tracepoint_args *ctx)
{
	return *(int *)ctx->args[0];
}

char LICENSE[] SEC("license") = "GPL";
