/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Many kernel functions with one link, from Linux 5.18 on. */
#include "count.h"

COUNT("kprobe.multi/do_sys_openat*", on_entries)
COUNT("kretprobe.multi/do_sys_openat*", on_returns)
