/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Packets of an interface before they are packets, let through. */
#include "count.h"

/* XDP_PASS */
COUNT_RETURNING("xdp", pass, 2)
