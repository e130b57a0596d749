/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The clock of each CPU. */
#include "count.h"

COUNT("perf_event", tick)
