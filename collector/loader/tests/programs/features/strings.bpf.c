// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// string literals
#include "feature.h"

RUN
{
	char target[32] = {};

	out[0] = BPF_SNPRINTF(target, sizeof(target), "%s-%d", "text", 42);
	out[1] = target[0];
	return bpf_strncmp(target, 4, "text");
}
