// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// A tracepoint that no kernel has.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

SEC("tp_btf/no_such_tracepoint")
int nowhere(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
