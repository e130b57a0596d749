/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * TCP connections being made, accepted and closed. Only tracepoints are used: the
 * socket's changes of state, and the calls connect, accept and accept4.
 */
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "connection.h"
#include "record.h"

#define EAGAIN 11
#define EISCONN 106
#define EALREADY 114
#define EINPROGRESS 115
/* Codes inside the kernel for "interrupted, to be restarted". */
#define ERESTARTSYS 512
#define ERESTART_RESTARTBLOCK 516

/* State of a struct socket whose connect() has returned EINPROGRESS. */
#define SS_CONNECTING 2

struct call {
	__u64 sk;
	__u64 address; /* the sockaddr in the caller's memory */
	int fd;
	bool seen; /* the attempt has begun: its outcome is told by the states */
};

/* By thread: what is between the entry and the exit of a call. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, struct call);
} calls SEC(".maps");

static __always_inline int call_begins(enum event_type type, int fd, __u64 address)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct call call = { .fd = fd, .address = address };
	struct sock *sk;

	if (unwanted(type) || gadget_should_discard_data_current())
		return 0;
	sk = tcp_sock_of_fd(fd);
	/* A further connect() only asks how the attempt under way has ended. */
	if (!sk || BPF_CORE_READ(sk, sk_socket, state) == SS_CONNECTING)
		return 0;
	call.sk = (__u64)sk;
	if (bpf_map_update_elem(&calls, &tid, &call, BPF_ANY))
		__gadget_count_lost(&events_lost_samples);
	return 0;
}

static __always_inline bool take_call(struct call *call)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct call *found = bpf_map_lookup_elem(&calls, &tid);

	if (!found)
		return false;
	*call = *found;
	bpf_map_delete_elem(&calls, &tid);
	return true;
}

/* Always in the context of the connecting process. */
static __always_inline void attempt_begins(struct sock *sk)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct gadget_process proc = {};
	struct call *call;
	int fd = NO_FD;

	if (accept_only || gadget_should_discard_data_current())
		return;
	call = bpf_map_lookup_elem(&calls, &tid);
	/* A call on an MPTCP socket makes a TCP connection of its own. */
	if (call && (call->sk == (__u64)sk || is_mptcp((struct sock *)call->sk))) {
		call->seen = true;
		fd = call->fd;
	}
	gadget_process_populate(&proc);
	remember(sk, &proc, fd);
}

SEC("raw_tp/inet_sock_set_state")
int BPF_PROG(ig_tcp_state, struct sock *sk, int old, int new)
{
	struct connection *connection;
	__u64 id = (__u64)sk;
	__u32 error;

	if (!is_tcp(sk))
		return 0;
	if (new == TCP_SYN_SENT) {
		attempt_begins(sk);
		return 0;
	}

	connection = bpf_map_lookup_elem(&connections, &id);
	error = BPF_CORE_READ(sk, sk_err);
	switch (old) {
	case TCP_SYN_SENT:
		if (!connection)
			break;
		if (new == TCP_ESTABLISHED)
			connect_ends(ctx, sk, connection, 0);
		else if (new == TCP_CLOSE)
			connect_ends(ctx, sk, connection, error ?: ECONNABORTED);
		break;
	case TCP_ESTABLISHED:
		if (new == TCP_FIN_WAIT1 || new == TCP_CLOSE)
			connection_closes(ctx, sk, connection, error);
		break;
	case TCP_CLOSE_WAIT:
		if (new == TCP_LAST_ACK || new == TCP_CLOSE)
			connection_closes(ctx, sk, connection, error);
		break;
	}
	if (new == TCP_CLOSE)
		bpf_map_delete_elem(&connections, &id);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_connect")
int ig_connect_e(struct trace_event_raw_sys_enter *ctx)
{
	return call_begins(connect, ctx->args[0], ctx->args[1]);
}

/* The address that a call asked for, where the socket has not taken it over. */
static __always_inline void read_destination(struct gadget_l4endpoint_t *dst,
					     __u64 address)
{
	struct sockaddr_in6 to = {};
	struct sockaddr_in *to4 = (void *)&to;

	__builtin_memset(&dst->addr_raw, 0, sizeof(dst->addr_raw));
	dst->port = 0;
	bpf_probe_read_user(&to, sizeof(*to4), (void *)address);
	if (to.sin6_family == AF_INET) {
		dst->version = 4;
		dst->addr_raw.v4 = to4->sin_addr.s_addr;
	} else if (to.sin6_family == AF_INET6) {
		bpf_probe_read_user(&to, sizeof(to), (void *)address);
		dst->version = 6;
		__builtin_memcpy(dst->addr_raw.v6, &to.sin6_addr,
				 sizeof(dst->addr_raw.v6));
		if (__gadget_is_mapped(dst))
			__gadget_unmap(dst);
	} else {
		return;
	}
	dst->port = bpf_ntohs(to.sin6_port);
}

/*
 * Reports only attempts that failed before they began, such as "no route": for
 * the others a change of state has told, or will tell, how they end.
 */
SEC("tracepoint/syscalls/sys_exit_connect")
int ig_connect_x(struct trace_event_raw_sys_exit *ctx)
{
	struct event *event;
	long ret = ctx->ret;
	struct call call;

	if (!take_call(&call) || call.seen || ret >= 0)
		return 0;
	switch (-ret) {
	case EISCONN:
	case EALREADY:
	case EINPROGRESS:
	case ERESTARTSYS ... ERESTART_RESTARTBLOCK:
		return 0;
	}
	event = new_event((struct sock *)call.sk, connect, -ret);
	if (!event)
		return 0;
	read_destination(&event->dst, call.address);
	gadget_process_populate(&event->proc);
	event->fd = call.fd;
	gadget_submit_buf(ctx, &events, event, sizeof(*event));
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_accept")
int ig_accept_e(struct trace_event_raw_sys_enter *ctx)
{
	return call_begins(accept, ctx->args[0], 0);
}

SEC("tracepoint/syscalls/sys_enter_accept4")
int ig_accept4_e(struct trace_event_raw_sys_enter *ctx)
{
	return call_begins(accept, ctx->args[0], 0);
}

/* On failure the record is about the listening socket. */
static __always_inline int accept_ends(void *ctx, long ret)
{
	struct gadget_process proc = {};
	struct event *event;
	struct call call;
	struct sock *sk;

	if (!take_call(&call))
		return 0;
	if (ret == -EAGAIN || (-ret >= ERESTARTSYS && -ret <= ERESTART_RESTARTBLOCK))
		return 0;

	gadget_process_populate(&proc);
	sk = (struct sock *)call.sk;
	if (ret >= 0) {
		sk = tcp_sock_of_fd(ret);
		if (!sk)
			return 0;
		sk = flow_of(sk);
		remember(sk, &proc, ret);
		if (failure_only)
			return 0;
	}
	event = new_event(sk, accept, ret < 0 ? -ret : 0);
	if (!event)
		return 0;
	event->accept_fd = ret < 0 ? NO_FD : ret;
	submit_for(ctx, event, &proc, call.fd);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_accept")
int ig_accept_x(struct trace_event_raw_sys_exit *ctx)
{
	return accept_ends(ctx, ctx->ret);
}

SEC("tracepoint/syscalls/sys_exit_accept4")
int ig_accept4_x(struct trace_event_raw_sys_exit *ctx)
{
	return accept_ends(ctx, ctx->ret);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
