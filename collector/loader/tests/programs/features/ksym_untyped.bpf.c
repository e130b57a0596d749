// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// kernel symbols without a type
#include "feature.h"

extern const void schedule __ksym;
extern const void no_such_symbol_here __ksym __weak;

RUN
{
	out[0] = (__u64)&schedule;
	out[1] = (__u64)&no_such_symbol_here;
	return 0;
}
