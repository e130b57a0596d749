// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// a kernel symbol nobody has
#include "feature.h"

extern const void no_such_symbol_here __ksym;

RUN
{
	out[0] = (__u64)&no_such_symbol_here;
	return 0;
}
