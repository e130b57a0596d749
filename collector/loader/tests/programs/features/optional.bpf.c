// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// optional programs
#include "feature.h"

RUN
{
	out[0] = 1;
	return 0;
}

SEC("?tp_btf/no_such_tracepoint")
int left_out(void *ctx)
{
	return 0;
}
