/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Checks of capabilities: who needed which one for what, and whether it was there.
 *
 * All checks pass through the kernel's function cap_capable(). It is probed; on
 * kernels without kprobes its tracepoint (6.14) is used, which does not say how
 * the question was put (audit, insetid).
 */
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <gadget/buffer.h>
#include <gadget/common.h>
#include <gadget/filter.h>
#include <gadget/kernel_stack_map.h>
#include <gadget/macros.h>
#include <gadget/syscall.h>
#include <gadget/types.h>
#include <gadget/user_stack_map.h>

#include "capability.h"

/* Checks under way at once: at most one a thread, and each takes microseconds. */
#define MAX_CHECKS 10240
/* Pairs of container and capability. */
#define MAX_SEEN 10240

/* Flags of a check, since 5.1. */
#define CAP_OPT_NOAUDIT (1 << 1)
#define CAP_OPT_INSETID (1 << 2)
/* In place of flags and of what they say. */
#define NOT_KNOWN (-1)

/* In place of a stack's slot. */
#define NO_STACK ((gadget_kernel_stack)-1)

struct cap_event {
	gadget_timestamp timestamp_raw;
	struct gadget_process proc;

	/* Inode numbers of user namespaces: the task's own, and the one asked about. */
	__u64 current_userns;
	__u64 target_userns;
	enum cap_effective_flags_set cap_effective_raw;
	enum capability cap_raw;
	bool capable;
	/* 1, 0, or NOT_KNOWN */
	int audit;
	int insetid;
	gadget_syscall syscall_raw;
	gadget_kernel_stack kstack_raw;
	struct gadget_user_stack ustack;
};

/* What is known when a check begins. */
struct check {
	__u64 current_userns;
	__u64 target_userns;
	__u64 cap_effective;
	__s32 cap;
	__s32 opts;
	gadget_kernel_stack kstack;
	__u32 unused;
};

struct seen_key {
	__u64 mntns_id;
	__u64 cap;
};

const volatile bool audit_only = false;
GADGET_PARAM(audit_only);

const volatile bool unique = false;
GADGET_PARAM(unique);

const volatile bool collect_kstack = true;
GADGET_PARAM(collect_kstack);

/* By thread: checks that have begun and not ended. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_CHECKS);
	__type(key, __u32);
	__type(value, struct check);
} start SEC(".maps");

/* What "unique" has shown already. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SEEN);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct seen_key);
	__type(value, __u8);
} seen SEC(".maps");

GADGET_TRACER_MAP(events, 1024 * 256);
GADGET_TRACER(capabilities, events, cap_event);

static __always_inline bool seen_before(int cap)
{
	struct seen_key key = {
		.mntns_id = gadget_get_current_mntns_id(),
		.cap = cap,
	};
	__u8 yes = 1;

	if (bpf_map_lookup_elem(&seen, &key))
		return true;
	/* Once the map is full, what is new is shown each time. */
	bpf_map_update_elem(&seen, &key, &yes, BPF_ANY);
	return false;
}

/* False if nobody wants to know of this check. */
static __always_inline bool begin(void *ctx, struct check *check, const struct cred *cred,
				  struct user_namespace *target, int cap, int opts)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	const struct cred *own = BPF_CORE_READ(task, real_cred);

	if (audit_only && opts != NOT_KNOWN && (opts & CAP_OPT_NOAUDIT))
		return false;
	/* The kernel acts with credentials it has lent the task (overlayfs does). */
	if (cred != own)
		return false;
	if (gadget_should_discard_data_current())
		return false;
	if (unique && seen_before(cap))
		return false;

	check->current_userns = BPF_CORE_READ(own, user_ns, ns.inum);
	check->target_userns = BPF_CORE_READ(target, ns.inum);
	/* 64 bits in every kernel: two words until 6.2, one since. */
	bpf_core_read(&check->cap_effective, sizeof(check->cap_effective),
		      &own->cap_effective);
	check->cap = cap;
	check->opts = opts;
	check->kstack = collect_kstack ? gadget_get_kernel_stack(ctx) : NO_STACK;
	check->unused = 0;
	return true;
}

static __always_inline void describe(struct cap_event *event, const struct check *check,
				     int ret)
{
	event->timestamp_raw = bpf_ktime_get_boot_ns();
	gadget_process_populate(&event->proc);
	event->current_userns = check->current_userns;
	event->target_userns = check->target_userns;
	event->cap_effective_raw = check->cap_effective;
	event->cap_raw = check->cap;
	event->capable = ret == 0;
	if (check->opts == NOT_KNOWN) {
		event->audit = NOT_KNOWN;
		event->insetid = NOT_KNOWN;
	} else {
		event->audit = !(check->opts & CAP_OPT_NOAUDIT);
		event->insetid = !!(check->opts & CAP_OPT_INSETID);
	}
	event->syscall_raw = gadget_get_current_syscall();
	event->kstack_raw = check->kstack;
}

SEC("?kprobe/cap_capable")
int BPF_KPROBE(ig_trace_cap_e, const struct cred *cred, struct user_namespace *targ_ns,
	       int cap, int cap_opt)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct check check;

	if (!begin(ctx, &check, cred, targ_ns, cap, cap_opt))
		return 0;
	if (bpf_map_update_elem(&start, &tid, &check, BPF_ANY))
		__gadget_count_lost(&events_lost_samples);
	return 0;
}

SEC("?kretprobe/cap_capable")
int BPF_KRETPROBE(ig_trace_cap_x, int ret)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct check *check = bpf_map_lookup_elem(&start, &tid);
	struct cap_event *event;

	if (!check)
		return 0;
	event = gadget_reserve_buf(&events, sizeof(*event));
	if (event) {
		describe(event, check, ret);
		gadget_get_user_stack(ctx, &event->ustack);
		gadget_submit_buf(ctx, &events, event, sizeof(*event));
	}
	bpf_map_delete_elem(&start, &tid);
	return 0;
}

/* In place of the two above, see gadget.yaml. */
SEC("?raw_tp/cap_capable")
int BPF_PROG(ig_trace_cap_tp, const struct cred *cred, struct user_namespace *targ_ns,
	     const struct user_namespace *capable_ns, int cap, int ret)
{
	struct check check;
	struct cap_event *event;

	if (!begin(ctx, &check, cred, targ_ns, cap, NOT_KNOWN))
		return 0;
	event = gadget_reserve_buf(&events, sizeof(*event));
	if (!event)
		return 0;
	describe(event, &check, ret);
	gadget_get_user_stack(ctx, &event->ustack);
	gadget_submit_buf(ctx, &events, event, sizeof(*event));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
