// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// several programs in a section
#include "feature.h"

RUN
{
	out[0] = 1;
	return 0;
}

SEC("raw_tp/sys_enter")
int second(void *ctx)
{
	out[1] = 2;
	return 0;
}
