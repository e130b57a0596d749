/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Programs being executed. The system call's entry decides by the filters and
 * leaves a note; the record is made where the outcome is known: at the tracepoint
 * sched_process_exec after success, at the call's exit after failure.
 */
#define GADGET_NO_BUF_RESERVE

#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <gadget/buffer.h>
#include <gadget/common.h>
#include <gadget/filesystem.h>
#include <gadget/filter.h>
#include <gadget/macros.h>
#include <gadget/types.h>

#include "args.h"
#include "record.h"

struct call {
	gadget_timestamp timestamp;
	__u64 filename; /* both in the caller's memory */
	__u64 argv;
};

const volatile bool ignore_failed = true;
GADGET_PARAM(ignore_failed);

const volatile bool paths = false;
GADGET_PARAM(paths);

/* By thread: calls that passed the filters and have not ended. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, struct call);
} calls SEC(".maps");

GADGET_TRACER_MAP(events, 1024 * 256);
GADGET_TRACER(exec, events, event);

static __always_inline int call_begins(__u64 filename, __u64 argv)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct call call = {
		.timestamp = bpf_ktime_get_boot_ns(),
		.filename = filename,
		.argv = argv,
	};

	if (gadget_should_discard_data_current())
		return 0;
	if (bpf_map_update_elem(&calls, &tid, &call, BPF_ANY))
		__gadget_count_lost(&events_lost_samples);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_execve")
int ig_execve_e(struct trace_event_raw_sys_enter *ctx)
{
	return call_begins(ctx->args[0], ctx->args[1]);
}

SEC("tracepoint/syscalls/sys_enter_execveat")
int ig_execveat_e(struct trace_event_raw_sys_enter *ctx)
{
	return call_begins(ctx->args[1], ctx->args[2]);
}

/* An emptied record; the path members are single empty strings. */
static __always_inline struct event *new_event(__u32 user, gadget_timestamp timestamp)
{
	struct event *event = bpf_map_lookup_elem(&scratch, &user);

	if (!event)
		return 0;
	event->timestamp_raw = timestamp;
	event->error_raw = 0;
	event->from_rootfs = false;
	event->file_from_rootfs = false;
	event->upper_layer = false;
	event->fupper_layer = false;
	event->pupper_layer = false;
	event->dev_major = 0;
	event->dev_minor = 0;
	event->inode = 0;
	event->ctime = 0;
	event->fctime = 0;
	event->pctime = 0;
	event->cwd[0] = '\0';
	event->file[0] = '\0';
	event->exepath[0] = '\0';
	event->parent_exepath[0] = '\0';
	return event;
}

static __always_inline void submit(void *ctx, struct event *event)
{
	__u64 size = event->args_size;

	if (size > ARGS_SIZE)
		size = ARGS_SIZE;
	gadget_output_buf(ctx, &events, event, offsetof(struct event, args) + size);
}

/* The executable that runs now, and that of the parent. */
static __always_inline void read_executables(struct event *event,
					     struct task_struct *task)
{
	struct file *exe = BPF_CORE_READ(task, mm, exe_file);
	struct file *parent_exe = BPF_CORE_READ(task, real_parent, mm, exe_file);
	struct inode *inode = BPF_CORE_READ(exe, f_inode);
	struct inode *parent_inode = BPF_CORE_READ(parent_exe, f_inode);

	event->from_rootfs = on_root_mount(task, exe);
	if (inode) {
		event->upper_layer = in_upper_layer(inode);
		event->ctime = gadget_get_ctime_nanosec_from_inode(inode);
	}
	if (parent_inode) {
		event->pupper_layer = in_upper_layer(parent_inode);
		event->pctime = gadget_get_ctime_nanosec_from_inode(parent_inode);
	}
	if (paths) {
		read_exe_path(event->exepath, exe);
		read_exe_path(event->parent_exepath, parent_exe);
	}
}

/*
 * The file that was asked for. When it is a script, the kernel has by now closed
 * it and "file" is the interpreter: then only the name that was given is known.
 */
static __always_inline void read_requested_file(struct event *event,
						struct task_struct *task,
						struct linux_binprm *bprm)
{
	struct file *file = BPF_CORE_READ(bprm, file);
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	const char *name = BPF_CORE_READ(bprm, filename);
	dev_t dev;

	if (name != BPF_CORE_READ(bprm, interp)) {
		if (paths)
			bpf_probe_read_kernel_str(event->file, sizeof(event->file), name);
		return;
	}
	event->file_from_rootfs = on_root_mount(task, file);
	if (inode) {
		event->fupper_layer = in_upper_layer(inode);
		event->fctime = gadget_get_ctime_nanosec_from_inode(inode);
	}
	if (!paths)
		return;
	read_exe_path(event->file, file);
	dev = BPF_CORE_READ(inode, i_sb, s_dev);
	event->dev_major = dev >> MINOR_BITS;
	event->dev_minor = dev & MINOR_MASK;
	event->inode = BPF_CORE_READ(inode, i_ino);
}

SEC("raw_tp/sched_process_exec")
int BPF_PROG(ig_sched_exec, struct task_struct *task, pid_t old_tid,
	     struct linux_binprm *bprm)
{
	__u32 tid = old_tid, leader = bpf_get_current_pid_tgid();
	struct call *call = bpf_map_lookup_elem(&calls, &tid);
	gadget_timestamp timestamp;
	struct event *event;

	if (!call)
		return 0;
	timestamp = call->timestamp;
	/*
	 * A thread that executes a program takes the leader's place and number.
	 * If the leader was in a call of its own, that one never ends.
	 */
	bpf_map_delete_elem(&calls, &tid);
	if (leader != tid)
		bpf_map_delete_elem(&calls, &leader);

	event = new_event(ON_SUCCESS, timestamp);
	if (!event)
		return 0;
	gadget_process_populate(&event->proc);
	read_audit(event, task);
	read_tty(event, task);
	read_executables(event, task);
	read_requested_file(event, task, bprm);
	if (paths)
		read_cwd(event, task);
	read_new_args(event, ON_SUCCESS, task);
	submit(ctx, event);
	return 0;
}

static __always_inline int call_ends(void *ctx, long ret)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u32 tid = bpf_get_current_pid_tgid();
	struct call *found = bpf_map_lookup_elem(&calls, &tid);
	struct event *event;
	struct call call;

	if (!found)
		return 0;
	call = *found;
	bpf_map_delete_elem(&calls, &tid);
	if (ret >= 0 || ignore_failed)
		return 0;

	event = new_event(ON_FAILURE, call.timestamp);
	if (!event)
		return 0;
	gadget_process_populate(&event->proc);
	event->error_raw = -ret;
	read_audit(event, task);
	read_tty(event, task);
	read_executables(event, task);
	if (paths) {
		read_cwd(event, task);
		if (bpf_probe_read_user_str(event->file, sizeof(event->file),
					    (void *)call.filename) < 0)
			event->file[0] = '\0';
	}
	read_old_args(event, ON_FAILURE, call.argv);
	submit(ctx, event);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_execve")
int ig_execve_x(struct trace_event_raw_sys_exit *ctx)
{
	return call_ends(ctx, ctx->ret);
}

SEC("tracepoint/syscalls/sys_exit_execveat")
int ig_execveat_x(struct trace_event_raw_sys_exit *ctx)
{
	return call_ends(ctx, ctx->ret);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
