/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The record of trace_tcp, its parameters, and what all its parts share. */
#ifndef TRACE_TCP_RECORD_H
#define TRACE_TCP_RECORD_H

#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <gadget/buffer.h>
#include <gadget/common.h>
#include <gadget/endpoint.h>
#include <gadget/filesystem.h>
#include <gadget/filter.h>
#include <gadget/macros.h>
#include <gadget/types.h>

#define NO_FD (-1)
#define FILE_TYPE_MASK 0170000
#define FILE_TYPE_SOCKET 0140000

enum event_type : u8 {
	connect,
	accept,
	close,
};

struct event {
	gadget_timestamp timestamp_raw;
	struct gadget_process proc;
	gadget_netns_id netns_id;

	struct gadget_l4endpoint_t src;
	struct gadget_l4endpoint_t dst;

	enum event_type type_raw;
	gadget_errno error_raw;
	int fd;
	int accept_fd;
};

const volatile bool accept_only = false;
GADGET_PARAM(accept_only);

const volatile bool connect_only = false;
GADGET_PARAM(connect_only);

const volatile bool failure_only = false;
GADGET_PARAM(failure_only);

GADGET_TRACER_MAP(events, 1024 * 256);
GADGET_TRACER(tracetcp, events, event);

static __always_inline bool unwanted(enum event_type type)
{
	return (accept_only && type != accept) || (connect_only && type != connect);
}

/* sk_protocol was a bit-field until 5.5. */
static __always_inline bool is_tcp(struct sock *sk)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	return (family == AF_INET || family == AF_INET6) &&
	       BPF_CORE_READ_BITFIELD_PROBED(sk, sk_protocol) == IPPROTO_TCP;
}

/* sk_protocol has room for this number since 5.6, which brought the protocol. */
static __always_inline bool is_mptcp(struct sock *sk)
{
	return BPF_CORE_READ_BITFIELD_PROBED(sk, sk_protocol) == IPPROTO_MPTCP;
}

struct mptcp_sock___gadget {
	struct sock *first;
} __attribute__((preserve_access_index));

/*
 * The TCP socket that carries a connection: of MPTCP's that of its first subflow,
 * whose states are told; the socket itself if there is none.
 */
static __always_inline struct sock *flow_of(struct sock *sk)
{
	struct mptcp_sock___gadget *msk = (void *)sk;
	struct sock *first = 0;

	if (is_mptcp(sk) && bpf_core_field_exists(msk->first))
		first = BPF_CORE_READ(msk, first);
	return first ?: sk;
}

/* The TCP or MPTCP socket behind a descriptor of the current task, or NULL. */
static __always_inline struct sock *tcp_sock_of_fd(int fd)
{
	struct file *file = get_struct_file_for_fd(fd);
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct socket *socket;
	struct sock *sk;

	/* Only a socket's private_data is a struct socket. */
	if (!file || (BPF_CORE_READ(inode, i_mode) & FILE_TYPE_MASK) !=
			     FILE_TYPE_SOCKET)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	sk = BPF_CORE_READ(socket, sk);
	return sk && (is_tcp(sk) || is_mptcp(sk)) ? sk : 0;
}

/*
 * A record about "sk" with everything but proc filled in. The port is read from
 * inet_sport: a socket that is being closed has already lost skc_num.
 */
static __always_inline struct event *new_event(struct sock *sk, enum event_type type,
					       __u32 error)
{
	struct event *event = gadget_reserve_buf(&events, sizeof(*event));

	if (!event)
		return 0;
	gadget_endpoints_from_sock(&sk->__sk_common, IPPROTO_TCP, &event->src,
				   &event->dst);
	event->src.port = bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	event->timestamp_raw = bpf_ktime_get_boot_ns();
	event->netns_id = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	event->type_raw = type;
	event->error_raw = error;
	event->fd = NO_FD;
	event->accept_fd = NO_FD;
	return event;
}

#endif /* TRACE_TCP_RECORD_H */
