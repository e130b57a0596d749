// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// What the programs of the feature matrix have in common: each runs once, and what it finds is in `out`.
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define RELOC __attribute__((preserve_access_index))
#define RUN SEC("raw_tp/sys_enter") int run(struct bpf_raw_tracepoint_args *ctx)

__u64 out[8];
char LICENSE[] SEC("license") = "GPL";
