/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Packets of an interface, both ways, let through. */
#include "count.h"

/* TC_ACT_UNSPEC, so that filters behind are asked too */
COUNT_RETURNING("classifier/ingress", incoming, -1)
COUNT_RETURNING("classifier/egress", outgoing, -1)
