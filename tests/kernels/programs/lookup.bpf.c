/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Lookups of sockets in a network namespace, left to the kernel. */
#include "count.h"

/* SK_PASS */
COUNT_RETURNING("sk_lookup", on_lookup, 1)
