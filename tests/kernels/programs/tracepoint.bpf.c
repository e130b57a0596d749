/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Tracepoints: classic, raw and typed. */
#include "count.h"

COUNT("tracepoint/sched/sched_process_exec", classic)
COUNT("tracepoint/syscalls/sys_enter_openat", classic_syscall)
COUNT("raw_tp/sched_process_exec", raw)
COUNT("tp_btf/sched_process_exec", typed)
