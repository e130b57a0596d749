// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// static sub-programs
#include "feature.h"

static __attribute__((noinline)) int twice(int x)
{
	out[1]++;
	return x * 2;
}

RUN
{
	out[0] = twice((int)ctx->args[0]) + twice(3);
	return 0;
}
