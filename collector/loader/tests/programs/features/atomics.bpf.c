// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// atomic operations
#include "feature.h"

RUN
{
	__u64 old = __sync_fetch_and_add(&out[0], 3);

	out[1] = old + 1;
	out[2] = __sync_val_compare_and_swap(&out[0], 3, 9);
	out[3] = __sync_lock_test_and_set(&out[4], 8);
	return 0;
}
