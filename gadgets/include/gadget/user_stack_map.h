/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * User stacks. The program records addresses and the identity of the executable;
 * symbols are looked up by the collector. All of it is off until the user asks
 * for it with collect-ustack.
 */
#ifndef GADGET_USER_STACK_MAP_H
#define GADGET_USER_STACK_MAP_H

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include <gadget/types.h>
#include <gadget/macros.h>
#include <gadget/fnv1a.h>
#include <gadget/core_fixes.bpf.h>

const volatile bool collect_ustack = false;
GADGET_PARAM(collect_ustack);

const volatile bool collect_build_id = false;
GADGET_PARAM(collect_build_id);

const volatile bool collect_otel_stack = false;
GADGET_PARAM(collect_otel_stack);

/* The loader sizes the map ig_build_id by this. */
const volatile int ig_build_id_max_entries = 1024;

#define GADGET_USER_MAX_STACK_DEPTH 127
#define GADGET_USER_STACK_MAP_MAX_ENTRIES 10000

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, GADGET_USER_MAX_STACK_DEPTH * sizeof(__u64));
	__uint(max_entries, GADGET_USER_STACK_MAP_MAX_ENTRIES);
} ig_ustack SEC(".maps");

/* Build ids of the frames, by the same id as in ig_ustack. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(key_size, sizeof(__u32));
	__uint(value_size,
	       GADGET_USER_MAX_STACK_DEPTH * sizeof(struct bpf_stack_build_id));
} ig_build_id SEC(".maps");

/* Initial value of an entry; it is too large for the BPF stack. */
static const struct bpf_stack_build_id
	__gadget_no_build_ids[GADGET_USER_MAX_STACK_DEPTH];

/* Where a profiler leaves the number under which it filed the stack. */
struct generic_param {
	__u64 correlation_id;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct generic_param);
} otel_generic_params SEC(".maps");

/* Slot 0 is the entry of a profiler, if the collector runs one. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__array(values, int());
} otel_tc_kprobe SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__array(values, int());
} otel_tc_perf SEC(".maps");

struct inode___mtime_v1 {
	struct timespec64 i_mtime;
} __attribute__((preserve_access_index));

struct inode___mtime_v2 {
	struct timespec64 __i_mtime;
} __attribute__((preserve_access_index));

struct inode___mtime_v3 {
	time64_t i_mtime_sec;
	u32 i_mtime_nsec;
} __attribute__((preserve_access_index));

static __always_inline void
gadget_inode_get_mtime(struct inode *inode, __u64 *mtime_sec, __u32 *mtime_nsec)
{
	if (bpf_core_field_exists(struct inode___mtime_v3, i_mtime_sec)) {
		struct inode___mtime_v3 *i = (void *)inode;

		*mtime_sec = BPF_CORE_READ(i, i_mtime_sec);
		*mtime_nsec = BPF_CORE_READ(i, i_mtime_nsec);
	} else if (bpf_core_field_exists(struct inode___mtime_v2, __i_mtime)) {
		struct inode___mtime_v2 *i = (void *)inode;

		*mtime_sec = BPF_CORE_READ(i, __i_mtime.tv_sec);
		*mtime_nsec = BPF_CORE_READ(i, __i_mtime.tv_nsec);
	} else {
		struct inode___mtime_v1 *i = (void *)inode;

		*mtime_sec = BPF_CORE_READ(i, i_mtime.tv_sec);
		*mtime_nsec = BPF_CORE_READ(i, i_mtime.tv_nsec);
	}
}

/* Changes with each exec, and differs between processes of one executable. */
static __always_inline u32 gadget_get_base_addr_hash(struct task_struct *task)
{
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	u32 hash = fnv_32a_init();

	fnv_32a_update_u64(&hash, (u64)mm);
	fnv_32a_update_u64(&hash, BPF_CORE_READ(mm, start_code));
	fnv_32a_update_u64(&hash, BPF_CORE_READ(mm, end_code));
	fnv_32a_update_u64(&hash, BPF_CORE_READ(mm, start_stack));
	return hash;
}

/* The pid namespaces of a task: [0] is the host's, [1] the next inner one. */
static __always_inline void
__gadget_get_pid_levels(struct task_struct *task, struct gadget_user_stack *ustack)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	struct upid upid = {};

	ustack->tgid_level0 = BPF_CORE_READ(task, tgid);
	ustack->pid_level0 = BPF_CORE_READ(task, pid);

	bpf_core_read(&upid, sizeof(upid), &pid->numbers[0]);
	ustack->pidns_level0 = BPF_CORE_READ(upid.ns, ns.inum);

	if (BPF_CORE_READ(pid, level) == 0)
		return;
	bpf_probe_read_kernel(&upid, sizeof(upid),
			      (void *)__builtin_preserve_access_index(&pid->numbers[0]) +
				      bpf_core_type_size(struct upid));
	ustack->pid_level1 = upid.nr;
	ustack->pidns_level1 = BPF_CORE_READ(upid.ns, ns.inum);
}

static __always_inline void __gadget_get_build_ids(void *ctx, __u32 stack_id)
{
	void *ids;

	if (bpf_map_lookup_elem(&ig_build_id, &stack_id))
		return;
	bpf_map_update_elem(&ig_build_id, &stack_id, __gadget_no_build_ids, BPF_NOEXIST);
	ids = bpf_map_lookup_elem(&ig_build_id, &stack_id);
	if (ids)
		bpf_get_stack(ctx, ids,
			      GADGET_USER_MAX_STACK_DEPTH *
				      sizeof(struct bpf_stack_build_id),
			      BPF_F_USER_STACK | BPF_F_USER_BUILD_ID);
}

static __always_inline void __gadget_fill_user_stack(void *ctx,
						     struct gadget_user_stack *ustack)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct inode *inode;
	dev_t dev;
	long id;

	__builtin_memset(ustack, 0, sizeof(*ustack));
	if (!collect_ustack)
		return;

	/* Kernel threads have no executable: an inode of 0 says "no stack". */
	inode = BPF_CORE_READ(task, mm, exe_file, f_inode);
	if (!inode)
		return;
	id = bpf_get_stackid(ctx, &ig_ustack, BPF_F_USER_STACK);
	if (id < 0) {
		/* Beside an inode of 0 it tells a stack that found no room. */
		ustack->stack_id = id;
		return;
	}

	dev = BPF_CORE_READ(inode, i_sb, s_dev);
	ustack->major = dev >> 20;
	ustack->minor = dev & 0xfffff;
	ustack->inode = BPF_CORE_READ(inode, i_ino);
	gadget_inode_get_mtime(inode, &ustack->mtime_sec, &ustack->mtime_nsec);
	ustack->base_addr_hash = gadget_get_base_addr_hash(task);
	ustack->stack_id = id;
	ustack->boot_timestamp = bpf_ktime_get_boot_ns();
	__gadget_get_pid_levels(task, ustack);

	if (collect_build_id)
		__gadget_get_build_ids(ctx, id);
}

/*
 * A tail call does not return to the function that makes it. It is therefore
 * made in functions of their own, which return to their caller either way.
 */
static __attribute__((noinline)) int gadget_fetch_otel_stack_from_kprobe(void *ctx)
{
	bpf_tail_call(ctx, &otel_tc_kprobe, 0);
	return 0;
}

static __attribute__((noinline)) int gadget_fetch_otel_stack_from_perf_event(void *ctx)
{
	bpf_tail_call(ctx, &otel_tc_perf, 0);
	return 0;
}

static __always_inline void
__gadget_read_otel_correlation(struct gadget_user_stack *ustack)
{
	__u32 zero = 0;
	struct generic_param *param = bpf_map_lookup_elem(&otel_generic_params, &zero);

	if (param)
		ustack->otel_correlation_id = param->correlation_id;
}

static __always_inline void __gadget_clear_otel_correlation(void)
{
	__u32 zero = 0;
	struct generic_param *param = bpf_map_lookup_elem(&otel_generic_params, &zero);

	if (param)
		param->correlation_id = 0;
}

static __always_inline void
gadget_get_user_stack_from_kprobe(void *ctx, struct gadget_user_stack *ustack)
{
	__gadget_fill_user_stack(ctx, ustack);
	if (collect_ustack && collect_otel_stack) {
		__gadget_clear_otel_correlation();
		gadget_fetch_otel_stack_from_kprobe(ctx);
		__gadget_read_otel_correlation(ustack);
	}
}

static __always_inline void
gadget_get_user_stack_from_perf_event(void *ctx, struct gadget_user_stack *ustack)
{
	__gadget_fill_user_stack(ctx, ustack);
	if (collect_ustack && collect_otel_stack) {
		__gadget_clear_otel_correlation();
		gadget_fetch_otel_stack_from_perf_event(ctx);
		__gadget_read_otel_correlation(ustack);
	}
}

/* A profiler has no entry for tracepoints: only the plain stack. */
static __always_inline void
gadget_get_user_stack_from_tracepoint(void *ctx, struct gadget_user_stack *ustack)
{
	__gadget_fill_user_stack(ctx, ustack);
}

/* The type of the context says what kind of program this is. */
#define gadget_get_user_stack(ctx, ustack)                                   \
	_Generic((ctx),                                                      \
		struct pt_regs *: gadget_get_user_stack_from_kprobe,         \
		struct bpf_perf_event_data *:                                \
			gadget_get_user_stack_from_perf_event,               \
		default: gadget_get_user_stack_from_tracepoint)(ctx, ustack)

#endif /* GADGET_USER_STACK_MAP_H */
