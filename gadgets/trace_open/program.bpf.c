/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Files being opened, through open, creat, openat and openat2. The call's
 * arguments are remembered when it begins; the record is made when it returns,
 * because the result is known then and the kernel has by then read the file name,
 * so it is in memory.
 */
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <gadget/buffer.h>
#include <gadget/common.h>
#include <gadget/filesystem.h>
#include <gadget/filter.h>
#include <gadget/macros.h>
#include <gadget/types.h>
#include <gadget/user_stack_map.h>

#define NAME_MAX 255
#define O_WRONLY 00000001
#define O_CREAT 00000100
#define O_TRUNC 00001000

struct event {
	gadget_timestamp timestamp_raw;
	struct gadget_process proc;
	gadget_errno error_raw;
	__u32 fd;
	gadget_file_flags flags_raw;
	gadget_file_mode mode_raw;
	struct gadget_user_stack ustack;
	char fname[NAME_MAX];
	char fpath[GADGET_PATH_MAX];
};

struct call {
	__u64 fname; /* address in the caller's memory */
	__u32 flags;
	__u32 mode;
};

/* Beginning of struct open_how, the argument of openat2. */
struct open_how_head {
	__u64 flags;
	__u64 mode;
};

const volatile bool targ_failed = false;
GADGET_PARAM(targ_failed);

const volatile bool paths = false;
GADGET_PARAM(paths);

/* By thread: what is between the entry and the exit of a call. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, struct call);
} calls SEC(".maps");

GADGET_TRACER_MAP(events, 1024 * 256);
GADGET_TRACER(open, events, event);

static __always_inline int call_begins(__u64 fname, __u32 flags, __u32 mode)
{
	struct call call = { .fname = fname, .flags = flags, .mode = mode & 07777 };
	__u32 tid = bpf_get_current_pid_tgid();

	if (gadget_should_discard_data_current())
		return 0;
	if (bpf_map_update_elem(&calls, &tid, &call, BPF_ANY))
		__gadget_count_lost(&events_lost_samples);
	return 0;
}

static __always_inline void emit(void *ctx, const struct call *call, long ret)
{
	struct event *event = gadget_reserve_buf(&events, sizeof(*event));

	if (!event)
		return;

	event->timestamp_raw = bpf_ktime_get_boot_ns();
	gadget_process_populate(&event->proc);
	event->error_raw = ret < 0 ? -ret : 0;
	event->fd = ret < 0 ? 0 : ret;
	event->flags_raw = call->flags;
	event->mode_raw = call->mode;
	gadget_get_user_stack(ctx, &event->ustack);
	if (bpf_probe_read_user_str(event->fname, sizeof(event->fname),
				    (void *)call->fname) < 0)
		event->fname[0] = '\0';
	event->fpath[0] = '\0';
	if (paths && ret >= 0)
		read_full_path_of_open_file_fd(ret, event->fpath, sizeof(event->fpath));

	gadget_submit_buf(ctx, &events, event, sizeof(*event));
}

static __always_inline int call_ends(void *ctx, long ret)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct call *call = bpf_map_lookup_elem(&calls, &tid);

	if (!call)
		return 0;
	if (!targ_failed || ret < 0)
		emit(ctx, call, ret);
	bpf_map_delete_elem(&calls, &tid);
	return 0;
}

/* arm64 has only the newer two. */
#ifndef __TARGET_ARCH_arm64
SEC("tracepoint/syscalls/sys_enter_open")
int ig_open_e(struct trace_event_raw_sys_enter *ctx)
{
	return call_begins(ctx->args[0], ctx->args[1], ctx->args[2]);
}

SEC("tracepoint/syscalls/sys_exit_open")
int ig_open_x(struct trace_event_raw_sys_exit *ctx)
{
	return call_ends(ctx, ctx->ret);
}

SEC("tracepoint/syscalls/sys_enter_creat")
int ig_creat_e(struct trace_event_raw_sys_enter *ctx)
{
	return call_begins(ctx->args[0], O_CREAT | O_WRONLY | O_TRUNC, ctx->args[1]);
}

SEC("tracepoint/syscalls/sys_exit_creat")
int ig_creat_x(struct trace_event_raw_sys_exit *ctx)
{
	return call_ends(ctx, ctx->ret);
}
#endif

SEC("tracepoint/syscalls/sys_enter_openat")
int ig_openat_e(struct trace_event_raw_sys_enter *ctx)
{
	return call_begins(ctx->args[1], ctx->args[2], ctx->args[3]);
}

SEC("tracepoint/syscalls/sys_exit_openat")
int ig_openat_x(struct trace_event_raw_sys_exit *ctx)
{
	return call_ends(ctx, ctx->ret);
}

SEC("tracepoint/syscalls/sys_enter_openat2")
int ig_openat2_e(struct trace_event_raw_sys_enter *ctx)
{
	struct open_how_head how = {};

	bpf_probe_read_user(&how, sizeof(how), (void *)ctx->args[2]);
	return call_begins(ctx->args[1], how.flags, how.mode);
}

SEC("tracepoint/syscalls/sys_exit_openat2")
int ig_openat2_x(struct trace_event_raw_sys_exit *ctx)
{
	return call_ends(ctx, ctx->ret);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
