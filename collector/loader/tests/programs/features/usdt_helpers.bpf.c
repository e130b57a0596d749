// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// helpers for arguments of static probes
#include "feature.h"

#include <bpf/usdt.bpf.h>

SEC("usdt")
int BPF_USDT(run, int first, void *second)
{
	out[0] = first;
	out[1] = bpf_usdt_arg_cnt(ctx);
	return 0;
}
