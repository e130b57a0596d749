/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Packets of the network namespace. */
#include "count.h"

COUNT("socket1", filter)
