// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// a configuration value nobody has
#include "feature.h"

extern int CONFIG_THAT_NOBODY_HAS __kconfig;

RUN
{
	out[0] = CONFIG_THAT_NOBODY_HAS;
	return 0;
}
