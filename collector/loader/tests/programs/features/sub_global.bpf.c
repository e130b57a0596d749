// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// global and weak sub-programs
#include "feature.h"

__attribute__((noinline)) int add(int a, int b)
{
	return a + b;
}

__weak __attribute__((noinline)) int mul(int a, int b)
{
	return add(a, 1) * b;
}

RUN
{
	out[0] = mul((int)ctx->args[0], 5) + add(1, 2);
	return 0;
}
