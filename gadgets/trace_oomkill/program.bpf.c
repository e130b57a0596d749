/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Victims of the out-of-memory killer, at the moment the kernel has chosen one.
 */
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <gadget/buffer.h>
#include <gadget/common.h>
#include <gadget/core_fixes.bpf.h>
#include <gadget/macros.h>
#include <gadget/mntns_filter.h>
#include <gadget/types.h>

/* Processes that are searched for the victim where only its number is known. */
#define MAX_SEARCH 4096

struct event {
	gadget_timestamp timestamp_raw;
	/* Before fprocess: the record belongs to the container of the victim. */
	gadget_mntns_id tmntns_id;
	struct gadget_process fprocess;
	gadget_pid tpid;
	gadget_comm tcomm[TASK_COMM_LEN];
	__u64 pages;
};

GADGET_TRACER_MAP(events, 1024 * 256);
GADGET_TRACER(oomkill, events, event);

/*
 * The tracepoint has carried the victim itself since 6.9, and only its number
 * before. The structs are empty because only the prototypes are compared.
 */
struct task_struct___empty {};
typedef void (*btf_trace_mark_victim___task)(void *, struct task_struct___empty *,
					     uid_t);
typedef void (*btf_trace_mark_victim___pid)(void *, int);

/* Since 6.2 each counter is a percpu_counter; before, there was one struct. */
struct percpu_counter___min {
	s64 count;
} __attribute__((preserve_access_index));

struct mm_struct___counters {
	struct percpu_counter___min rss_stat[4];
} __attribute__((preserve_access_index));

struct mm_rss_stat___old {
	atomic_long_t count[4];
} __attribute__((preserve_access_index));

struct mm_struct___old {
	struct mm_rss_stat___old rss_stat;
} __attribute__((preserve_access_index));

/* MM_FILEPAGES, MM_ANONPAGES and MM_SHMEMPAGES; 2 counts swap entries. */
static __always_inline __u64 resident_pages(void *mm)
{
	s64 file, anon, shmem, sum;

	if (bpf_core_field_exists(struct mm_rss_stat___old, count)) {
		struct mm_struct___old *m = mm;

		file = BPF_CORE_READ(m, rss_stat.count[0].counter);
		anon = BPF_CORE_READ(m, rss_stat.count[1].counter);
		shmem = BPF_CORE_READ(m, rss_stat.count[3].counter);
	} else {
		struct mm_struct___counters *m = mm;

		file = BPF_CORE_READ(m, rss_stat[0].count);
		anon = BPF_CORE_READ(m, rss_stat[1].count);
		shmem = BPF_CORE_READ(m, rss_stat[3].count);
	}
	/* The counters are approximate, a single one can even be negative. */
	sum = file + anon + shmem;
	return sum > 0 ? sum : 0;
}

/*
 * The process or thread of that number. All thread groups form a ring; the
 * caller is in a read-side critical section of RCU, which keeps it intact.
 */
static __always_inline struct task_struct *find_task(pid_t pid)
{
	struct task_struct *current = (struct task_struct *)bpf_get_current_task();
	struct task_struct *task = BPF_CORE_READ(current, group_leader);
	__u64 offset = __builtin_preserve_field_info(((struct task_struct *)0)->tasks,
						     BPF_FIELD_BYTE_OFFSET);

	if (BPF_CORE_READ(current, pid) == pid)
		return current;
	for (int i = 0; i < MAX_SEARCH; i++) {
		if (BPF_CORE_READ(task, pid) == pid)
			return task;
		task = (void *)BPF_CORE_READ(task, tasks.next) - offset;
	}
	return 0;
}

SEC("raw_tp/mark_victim")
int ig_oomkill(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *victim;
	gadget_mntns_id mntns_id;
	struct event *event;
	pid_t pid;

	if (bpf_core_type_matches(btf_trace_mark_victim___task)) {
		victim = (struct task_struct *)ctx->args[0];
		pid = BPF_CORE_READ(victim, tgid);
	} else if (bpf_core_type_matches(btf_trace_mark_victim___pid)) {
		pid = ctx->args[0];
		victim = find_task(pid);
	} else {
		bpf_core_unreachable();
		return 0;
	}

	mntns_id = BPF_CORE_READ(victim, nsproxy, mnt_ns, ns.inum);
	if (gadget_should_discard_mntns_id(mntns_id))
		return 0;

	event = gadget_reserve_buf(&events, sizeof(*event));
	if (!event)
		return 0;
	event->timestamp_raw = bpf_ktime_get_boot_ns();
	event->tmntns_id = mntns_id;
	gadget_process_populate(&event->fprocess);
	event->tpid = pid;
	if (bpf_core_read_str(event->tcomm, sizeof(event->tcomm), &victim->comm) < 0)
		event->tcomm[0] = '\0';
	event->pages = resident_pages(BPF_CORE_READ(victim, mm));
	gadget_submit_buf(ctx, &events, event, sizeof(*event));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
