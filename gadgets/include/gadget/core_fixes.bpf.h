/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Kernel structures and tracepoint arguments that changed their shape between
 * 5.4 and today. Each shape is declared as a "flavour" (name___suffix): the part
 * after the three underscores is ignored when the loader looks the type up in
 * the running kernel's BTF, so one object fits all of them.
 *
 * Not here, because a prototype belongs to the program that uses it: raw
 * tracepoints block_rq_insert and block_rq_issue lost their first argument (the
 * request queue) in 5.11. Declare both prototypes as flavours of the typedef
 * btf_trace_<name>, ask bpf_core_type_matches() which one the kernel has, and put
 * bpf_core_unreachable() where neither matches.
 */
#ifndef GADGET_CORE_FIXES_BPF_H
#define GADGET_CORE_FIXES_BPF_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>


/*
 * The call that loaders put where a relocation could not be resolved. A program
 * that could really reach it is rejected by the verifier.
 */
static void (*bpf_core_unreachable)(void) __attribute__((unused)) = (void *)0xbad2310;

/* 5.14 renamed task_struct.state. */
struct task_struct___o {
	volatile long state;
} __attribute__((preserve_access_index));

struct task_struct___x {
	unsigned int __state;
} __attribute__((preserve_access_index));

static __always_inline __s64 get_task_state(void *task)
{
	struct task_struct___x *t = task;

	if (bpf_core_field_exists(t->__state))
		return BPF_CORE_READ(t, __state);
	return BPF_CORE_READ((struct task_struct___o *)task, state);
}

/* 5.12 replaced bio.bi_disk. */
struct bio___o {
	struct gendisk *bi_disk;
} __attribute__((preserve_access_index));

struct bio___x {
	struct block_device *bi_bdev;
} __attribute__((preserve_access_index));

static __always_inline struct gendisk *get_gendisk(void *bio)
{
	struct bio___x *b = bio;

	if (bpf_core_field_exists(b->bi_bdev))
		return BPF_CORE_READ(b, bi_bdev, bd_disk);
	return BPF_CORE_READ((struct bio___o *)bio, bi_disk);
}

/* 5.17 moved the disk of a request into its queue. */
struct request_queue___x {
	struct gendisk *disk;
} __attribute__((preserve_access_index));

struct request___x {
	struct request_queue___x *q;
	struct gendisk *rq_disk;
} __attribute__((preserve_access_index));

static __always_inline struct gendisk *get_disk(void *request)
{
	struct request___x *r = request;

	if (bpf_core_field_exists(r->rq_disk))
		return BPF_CORE_READ(r, rq_disk);
	return BPF_CORE_READ(r, q, disk);
}

/* 5.17 renamed the class of the tracepoint block_rq_complete. */
struct trace_event_raw_block_rq_complete___x {
	dev_t dev;
	sector_t sector;
	unsigned int nr_sector;
} __attribute__((preserve_access_index));

struct trace_event_raw_block_rq_completion___x {
	dev_t dev;
	sector_t sector;
	unsigned int nr_sector;
} __attribute__((preserve_access_index));

static __always_inline bool has_block_rq_completion(void)
{
	return bpf_core_type_exists(struct trace_event_raw_block_rq_completion___x);
}

/* 6.3 replaced renamedata.old_mnt_userns. */
struct renamedata___x {
	struct user_namespace *old_mnt_userns;
} __attribute__((preserve_access_index));

static __always_inline bool renamedata_has_old_mnt_userns_field(void)
{
	return bpf_core_field_exists(struct renamedata___x, old_mnt_userns);
}

/* 5.14 split the event class kmem_free. */
struct trace_event_raw_kmem_free___x {
	const void *ptr;
} __attribute__((preserve_access_index));

struct trace_event_raw_kfree___x {
	const void *ptr;
} __attribute__((preserve_access_index));

struct trace_event_raw_kmem_cache_free___x {
	const void *ptr;
} __attribute__((preserve_access_index));

static __always_inline bool has_kfree(void)
{
	return bpf_core_type_exists(struct trace_event_raw_kfree___x);
}

static __always_inline bool has_kmem_cache_free(void)
{
	return bpf_core_type_exists(struct trace_event_raw_kmem_cache_free___x);
}

/*
 * The tracepoint tcp_retransmit_skb shared its class with tcp_send_reset until
 * each was given its own. "ctx" is that of a "tracepoint/" program; it is read
 * through a helper because a context cannot be dereferenced at an offset that
 * the compiler has merged from two branches.
 */
struct trace_event_raw_tcp_retransmit_skb___x {
	const void *skbaddr;
	const void *skaddr;
} __attribute__((preserve_access_index));

struct trace_event_raw_tcp_event_sk_skb___x {
	const void *skbaddr;
	const void *skaddr;
} __attribute__((preserve_access_index));

static __always_inline const struct sk_buff *
gadget_get_tcp_retransmit_skb_skbaddr(void *ctx)
{
	if (bpf_core_type_exists(struct trace_event_raw_tcp_retransmit_skb___x))
		return BPF_CORE_READ((struct trace_event_raw_tcp_retransmit_skb___x *)ctx,
				     skbaddr);
	return BPF_CORE_READ((struct trace_event_raw_tcp_event_sk_skb___x *)ctx, skbaddr);
}

static __always_inline const struct sock *
gadget_get_tcp_retransmit_skb_skaddr(void *ctx)
{
	if (bpf_core_type_exists(struct trace_event_raw_tcp_retransmit_skb___x))
		return BPF_CORE_READ((struct trace_event_raw_tcp_retransmit_skb___x *)ctx,
				     skaddr);
	return BPF_CORE_READ((struct trace_event_raw_tcp_event_sk_skb___x *)ctx, skaddr);
}

/*
 * Inode times: one structure until 6.5, under another name until 6.10, two
 * members since 6.11.
 */
struct inode___ctime_v1 {
	struct timespec64 i_ctime;
} __attribute__((preserve_access_index));

struct inode___ctime_v2 {
	struct timespec64 __i_ctime;
} __attribute__((preserve_access_index));

struct inode___ctime_v3 {
	time64_t i_ctime_sec;
	u32 i_ctime_nsec;
} __attribute__((preserve_access_index));

/* Set by 6.13 and later in the nanoseconds: "somebody has read this value". */
#define GADGET_CTIME_QUERIED (1U << 31)

/* Time of the last change of the inode, in nanoseconds since the epoch. */
static __always_inline u64 gadget_get_ctime_nanosec_from_inode(struct inode *inode)
{
	u64 sec, nsec;

	if (bpf_core_field_exists(struct inode___ctime_v3, i_ctime_sec)) {
		struct inode___ctime_v3 *i = (void *)inode;

		sec = BPF_CORE_READ(i, i_ctime_sec);
		nsec = BPF_CORE_READ(i, i_ctime_nsec) & ~GADGET_CTIME_QUERIED;
	} else if (bpf_core_field_exists(struct inode___ctime_v2, __i_ctime)) {
		struct inode___ctime_v2 *i = (void *)inode;

		sec = BPF_CORE_READ(i, __i_ctime.tv_sec);
		nsec = BPF_CORE_READ(i, __i_ctime.tv_nsec);
	} else {
		struct inode___ctime_v1 *i = (void *)inode;

		sec = BPF_CORE_READ(i, i_ctime.tv_sec);
		nsec = BPF_CORE_READ(i, i_ctime.tv_nsec);
	}
	return sec * 1000000000ULL + nsec;
}

/*
 * Registers of a system call, for raw_tracepoint/sys_enter and sys_exit, whose
 * first argument is "regs". Declared here and not taken from vmlinux.h, which
 * describes the machine that compiles and not the one that is compiled for.
 */
struct pt_regs___gadget_x86 {
	unsigned long di, si, dx, r10, r8, r9, orig_ax;
} __attribute__((preserve_access_index));

struct pt_regs___gadget_arm64 {
	u64 regs[31];
	u64 orig_x0;
	s32 syscallno;
} __attribute__((preserve_access_index));

#if defined(__TARGET_ARCH_x86)
#define __gadget_syscall_reg(regs, on_x86, on_arm64) \
	BPF_CORE_READ((struct pt_regs___gadget_x86 *)(regs), on_x86)
#elif defined(__TARGET_ARCH_arm64)
#define __gadget_syscall_reg(regs, on_x86, on_arm64) \
	BPF_CORE_READ((struct pt_regs___gadget_arm64 *)(regs), on_arm64)
#else
#define __gadget_syscall_reg(regs, on_x86, on_arm64) (-1)
#endif

static __always_inline long gadget_get_syscall_nr(struct pt_regs *regs)
{
	return __gadget_syscall_reg(regs, orig_ax, syscallno);
}

/* "arg_id" counts from 0; there are at most six arguments. */
static __always_inline unsigned long gadget_get_syscall_arg(struct pt_regs *regs,
							    unsigned int arg_id)
{
	switch (arg_id) {
	case 0:
		return __gadget_syscall_reg(regs, di, orig_x0);
	case 1:
		return __gadget_syscall_reg(regs, si, regs[1]);
	case 2:
		return __gadget_syscall_reg(regs, dx, regs[2]);
	case 3:
		return __gadget_syscall_reg(regs, r10, regs[3]);
	case 4:
		return __gadget_syscall_reg(regs, r8, regs[4]);
	case 5:
		return __gadget_syscall_reg(regs, r9, regs[5]);
	default:
		return 0;
	}
}

#endif /* GADGET_CORE_FIXES_BPF_H */
