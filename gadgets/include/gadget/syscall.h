/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The system call that the current task is in, read from the registers which the
 * kernel saved when it was entered. Nothing runs at the entry or exit of calls.
 */
#ifndef GADGET_SYSCALL_H
#define GADGET_SYSCALL_H

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include <gadget/types.h>
#include <gadget/core_fixes.bpf.h>

/* A value for fields of type gadget_syscall: shown as "unknown". */
#define GADGET_SYSCALL_NONE ((gadget_syscall)-1)

/* Size of a kernel stack, but for unusual configurations. */
#define __GADGET_THREAD_SIZE (16 * 1024)

/* Segments and modes of registers that were saved on the way in from user space. */
#define __GADGET_X86_CPL_MASK 3
#define __GADGET_X86_TS_COMPAT 2
#define __GADGET_ARM64_MODE_MASK 0x1f /* of it, 0x10 is "32 bits" */

struct pt_regs___gadget_cs {
	u16 cs;
} __attribute__((preserve_access_index));

struct pt_regs___gadget_pstate {
	u64 pstate;
} __attribute__((preserve_access_index));

/* Without the helper (before 5.15) the registers are looked for at the top of the stack. */
static __always_inline struct pt_regs *__gadget_entry_regs(struct task_struct *task)
{
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs))
		return (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	return (void *)BPF_CORE_READ(task, stack) + __GADGET_THREAD_SIZE -
	       bpf_core_type_size(struct pt_regs);
}

/*
 * Its number, or GADGET_SYSCALL_NONE: in kernel threads, interrupts and faults,
 * and for calls of 32-bit programs, whose numbers mean other calls.
 */
static __always_inline gadget_syscall gadget_get_current_syscall(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct pt_regs *regs = __gadget_entry_regs(task);

#if defined(__TARGET_ARCH_x86)
	/* Kernel threads have no registers there: they read as zero. */
	if ((BPF_CORE_READ((struct pt_regs___gadget_cs *)regs, cs) &
	     __GADGET_X86_CPL_MASK) != __GADGET_X86_CPL_MASK)
		return GADGET_SYSCALL_NONE;
	if (BPF_CORE_READ(task, thread_info.status) & __GADGET_X86_TS_COMPAT)
		return GADGET_SYSCALL_NONE;
#elif defined(__TARGET_ARCH_arm64)
	if (BPF_CORE_READ((struct pt_regs___gadget_pstate *)regs, pstate) &
	    __GADGET_ARM64_MODE_MASK)
		return GADGET_SYSCALL_NONE;
#endif
	return gadget_get_syscall_nr(regs);
}

#endif /* GADGET_SYSCALL_H */
