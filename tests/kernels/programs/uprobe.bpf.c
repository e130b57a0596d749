/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Functions of a library. */
#include "count.h"

COUNT("uprobe//lib/x86_64-linux-gnu/libc.so.6:getpid", at_entry)
COUNT("uretprobe//lib/x86_64-linux-gnu/libc.so.6:getpid", at_return)
