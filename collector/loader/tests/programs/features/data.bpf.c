// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// data, zeroed and read-only sections
#include "feature.h"

const volatile __u32 constant = 7;
__u32 changing = 8;
static volatile __u64 zeroed[100];
const char text[] = "read-only text";
__u64 custom SEC(".data.custom") = 9;
const volatile __u64 other SEC(".rodata.other") = 10;
__u64 late SEC(".bss.late");

RUN
{
	char copy[sizeof(text)];

	zeroed[99] = ctx->args[0];
	late = 3;
	changing++;
	bpf_probe_read_kernel(copy, sizeof(copy), text);
	out[0] = constant + changing;
	out[1] = zeroed[99] + zeroed[1];
	out[2] = custom + other;
	out[3] = copy[5];
	out[4] = late;
	return 0;
}
