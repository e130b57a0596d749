/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Connections whose process is known, and their life as the tracepoint
 * inet_sock_set_state tells it. A state often changes while a packet arrives, when
 * the current task has nothing to do with the socket; then the remembered process
 * is the one to report.
 */
#ifndef TRACE_TCP_CONNECTION_H
#define TRACE_TCP_CONNECTION_H

#include "record.h"

#define ECONNABORTED 103
/* Of task_struct.flags. */
#define PF_KTHREAD 0x00200000

struct connection {
	struct gadget_process proc;
	int fd;
};

/* By address of the socket. The oldest ones are forgotten first. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct connection);
} connections SEC(".maps");

static __always_inline void remember(struct sock *sk, const struct gadget_process *proc,
				     int fd)
{
	struct connection connection = { .proc = *proc, .fd = fd };
	__u64 id = (__u64)sk;

	bpf_map_update_elem(&connections, &id, &connection, BPF_ANY);
}

/*
 * Does the current task work on this socket? Whoever has locked it does; packet
 * processing never locks it in this sense, it queues packets for the lock's owner.
 */
static __always_inline bool held_by_current(struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_lock.owned) != 0;
}

/* Kernel threads work on sockets of others: MPTCP closes its subflows there. */
static __always_inline bool current_is_kernel(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	return BPF_CORE_READ(task, flags) & PF_KTHREAD;
}

static __always_inline bool discard_process(struct gadget_process *p)
{
	return gadget_should_discard_data(p->mntns_id, p->pid, p->tid, p->comm,
					  p->creds.uid, p->creds.gid);
}

static __always_inline void submit_for(void *ctx, struct event *event,
				       const struct gadget_process *proc, int fd)
{
	event->proc = *proc;
	event->fd = fd;
	gadget_submit_buf(ctx, &events, event, sizeof(*event));
}

/*
 * The outcome of a connection attempt. "error" is the socket's; an attempt that
 * ends without one has been given up by its own process.
 */
static __always_inline void connect_ends(void *ctx, struct sock *sk,
					 const struct connection *connection, __u32 error)
{
	struct event *event;

	if (unwanted(connect) || (failure_only && error == 0))
		return;
	event = new_event(sk, connect, error);
	if (event)
		submit_for(ctx, event, &connection->proc, connection->fd);
}

/* An established connection ends, on this side's initiative or by an error. */
static __always_inline void connection_closes(void *ctx, struct sock *sk,
					      const struct connection *connection,
					      __u32 error)
{
	struct gadget_process proc = {};
	struct event *event;

	if (unwanted(close) || (failure_only && error == 0))
		return;

	if (held_by_current(sk) && !(connection && current_is_kernel())) {
		gadget_process_populate(&proc);
		/* An exiting process has no mount namespace any more. */
		if (proc.mntns_id == 0 && connection &&
		    connection->proc.pid == proc.pid)
			proc.mntns_id = connection->proc.mntns_id;
	} else if (connection) {
		proc = connection->proc;
	}
	if (discard_process(&proc))
		return;

	event = new_event(sk, close, error);
	if (event)
		submit_for(ctx, event, &proc, NO_FD);
}

#endif /* TRACE_TCP_CONNECTION_H */
