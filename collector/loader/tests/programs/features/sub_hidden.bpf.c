// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// hidden global sub-programs
#include "feature.h"

struct pair {
	int a, b;
};

__hidden __attribute__((noinline)) int sum(struct pair *pair)
{
	return pair->a + pair->b;
}

RUN
{
	struct pair pair = { (int)ctx->args[0], 4 };

	out[0] = sum(&pair);
	return 0;
}
