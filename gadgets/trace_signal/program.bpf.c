/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Signals. Normally every signal the kernel generates, whatever its cause; with
 * kill-only, the calls kill, tkill and tgkill with their results.
 */
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <gadget/buffer.h>
#include <gadget/common.h>
#include <gadget/filter.h>
#include <gadget/macros.h>
#include <gadget/types.h>

#define EAGAIN 11

/* Results of the tracepoint signal_generate: the queue of the user is full. */
#define SIGNAL_OVERFLOW_FAIL 3

/* Up to this value, "info" is not a pointer but says who sent the signal. */
#define SIGNAL_INFO_SPECIAL_MAX 2

struct event {
	gadget_timestamp timestamp_raw;
	struct gadget_process proc;
	__u32 tpid;
	gadget_signal sig_raw;
	gadget_errno error_raw;
};

struct call {
	__u32 tpid;
	__u32 sig;
};

/* 0: all */
const volatile int target_signal = 0;
GADGET_PARAM(target_signal);

const volatile bool failed_only = false;
GADGET_PARAM(failed_only);

const volatile bool kill_only = false;
GADGET_PARAM(kill_only);

/* By thread: what is between the entry and the exit of a call. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, struct call);
} calls SEC(".maps");

GADGET_TRACER_MAP(events, 1024 * 256);
GADGET_TRACER(signal, events, event);

static __always_inline int emit(void *ctx, __u32 tpid, __u32 sig, __u32 error)
{
	struct event *event;

	if (failed_only && error == 0)
		return 0;

	event = gadget_reserve_buf(&events, sizeof(*event));
	if (!event)
		return 0;
	event->timestamp_raw = bpf_ktime_get_boot_ns();
	gadget_process_populate(&event->proc);
	event->tpid = tpid;
	event->sig_raw = sig;
	event->error_raw = error;
	gadget_submit_buf(ctx, &events, event, sizeof(*event));
	return 0;
}

SEC("raw_tp/signal_generate")
int BPF_PROG(ig_signal_generate, int sig, struct kernel_siginfo *info,
	     struct task_struct *task, int group, int result)
{
	__s32 error = 0;

	if (kill_only || (target_signal && sig != target_signal) ||
	    gadget_should_discard_data_current())
		return 0;

	if ((__u64)info > SIGNAL_INFO_SPECIAL_MAX)
		error = BPF_CORE_READ(info, si_errno);
	if (result == SIGNAL_OVERFLOW_FAIL)
		error = EAGAIN;
	return emit(ctx, BPF_CORE_READ(task, pid), sig, error < 0 ? -error : error);
}

static __always_inline int call_begins(__u32 tpid, int sig)
{
	struct call call = { .tpid = tpid, .sig = sig };
	__u32 tid = bpf_get_current_pid_tgid();

	if (!kill_only || (target_signal && sig != target_signal) ||
	    gadget_should_discard_data_current())
		return 0;
	if (bpf_map_update_elem(&calls, &tid, &call, BPF_ANY))
		__gadget_count_lost(&events_lost_samples);
	return 0;
}

static __always_inline int call_ends(void *ctx, long ret)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct call *call;

	if (!kill_only)
		return 0;
	call = bpf_map_lookup_elem(&calls, &tid);
	if (!call)
		return 0;
	emit(ctx, call->tpid, call->sig, ret < 0 ? -ret : 0);
	bpf_map_delete_elem(&calls, &tid);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_kill")
int ig_kill_e(struct trace_event_raw_sys_enter *ctx)
{
	return call_begins(ctx->args[0], ctx->args[1]);
}

SEC("tracepoint/syscalls/sys_exit_kill")
int ig_kill_x(struct trace_event_raw_sys_exit *ctx)
{
	return call_ends(ctx, ctx->ret);
}

SEC("tracepoint/syscalls/sys_enter_tkill")
int ig_tkill_e(struct trace_event_raw_sys_enter *ctx)
{
	return call_begins(ctx->args[0], ctx->args[1]);
}

SEC("tracepoint/syscalls/sys_exit_tkill")
int ig_tkill_x(struct trace_event_raw_sys_exit *ctx)
{
	return call_ends(ctx, ctx->ret);
}

/* The thread is named by its group and its own number; the latter is unique. */
SEC("tracepoint/syscalls/sys_enter_tgkill")
int ig_tgkill_e(struct trace_event_raw_sys_enter *ctx)
{
	return call_begins(ctx->args[1], ctx->args[2]);
}

SEC("tracepoint/syscalls/sys_exit_tgkill")
int ig_tgkill_x(struct trace_event_raw_sys_exit *ctx)
{
	return call_ends(ctx, ctx->ret);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
