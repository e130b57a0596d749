/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Kernel functions through trampolines. */
#include "count.h"

COUNT("fentry/do_sys_openat2", before)
COUNT("fexit/do_sys_openat2", behind)
