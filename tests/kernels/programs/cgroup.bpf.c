/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What sockets of a cgroup do, allowed. */
#include "count.h"

COUNT_RETURNING("cgroup/connect4", on_connect, 1)
COUNT_RETURNING("cgroup_skb/ingress", on_packet, 1)
COUNT_RETURNING("sockops", on_operation, 1)
