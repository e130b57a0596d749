/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Kernel functions, and a system call by its plain name, at entry and at return. */
#include "count.h"

COUNT("kprobe/do_sys_openat2", on_entry)
COUNT("kretprobe/do_sys_openat2", on_return)
COUNT("ksyscall/openat", on_syscall)
COUNT("kretsyscall/openat", on_syscall_return)
