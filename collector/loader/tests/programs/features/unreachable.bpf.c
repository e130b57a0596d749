// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// the verifier refuses
#include "feature.h"

RUN
{
	return *(int *)ctx->args[0];
}
