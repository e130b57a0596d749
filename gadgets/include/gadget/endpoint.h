/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Addresses and ports of kernel sockets as gadget_l4endpoint_t. */
#ifndef GADGET_ENDPOINT_H
#define GADGET_ENDPOINT_H

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <gadget/types.h>

#ifndef AF_INET
#define AF_INET 2
#endif
#ifndef AF_INET6
#define AF_INET6 10
#endif
#ifndef IPPROTO_TCP
#define IPPROTO_TCP 6
#endif
#ifndef IPPROTO_UDP
#define IPPROTO_UDP 17
#endif
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

/*
 * States of a TCP socket. Where vmlinux.h knows them as enumerators of the same
 * values, these stand in front of them; not every kernel's BTF has them.
 */
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_FIN_WAIT1 4
#define TCP_FIN_WAIT2 5
#define TCP_TIME_WAIT 6
#define TCP_CLOSE 7
#define TCP_CLOSE_WAIT 8
#define TCP_LAST_ACK 9
#define TCP_LISTEN 10
#define TCP_CLOSING 11
#define TCP_NEW_SYN_RECV 12

/* The same with the names that people know, for fields of records. */
enum gadget_socket_state {
	ESTABLISHED = TCP_ESTABLISHED,
	SYN_SENT = TCP_SYN_SENT,
	SYN_RECV = TCP_SYN_RECV,
	FIN_WAIT1 = TCP_FIN_WAIT1,
	FIN_WAIT2 = TCP_FIN_WAIT2,
	TIME_WAIT = TCP_TIME_WAIT,
	CLOSE = TCP_CLOSE,
	CLOSE_WAIT = TCP_CLOSE_WAIT,
	LAST_ACK = TCP_LAST_ACK,
	LISTEN = TCP_LISTEN,
	CLOSING = TCP_CLOSING,
	NEW_SYN_RECV = TCP_NEW_SYN_RECV,
};

/* An IPv4 address that an IPv6 socket uses: ::ffff:a.b.c.d. */
static __always_inline bool __gadget_is_mapped(const struct gadget_l4endpoint_t *end)
{
	const __u32 *words = (const __u32 *)&end->addr_raw;

	return words[0] == 0 && words[1] == 0 && words[2] == bpf_htonl(0xffff);
}

/* Turns an end that an IPv6 socket has into what is on the wire. */
static __always_inline void __gadget_unmap(struct gadget_l4endpoint_t *end)
{
	__u32 *words = (__u32 *)&end->addr_raw;
	__u32 v4 = words[3];

	__builtin_memset(&end->addr_raw, 0, sizeof(end->addr_raw));
	end->addr_raw.v4 = v4;
	end->version = 4;
}

/*
 * Both ends of a connection as "sk" sees them: src is the local one. IPv4 through
 * an IPv6 socket is IPv4, its end without address included. All kinds of socket
 * structures (full, request, time-wait) begin with sock_common and keep
 * addresses and ports in it. False, with both cleared, for other families.
 */
static __always_inline bool gadget_endpoints_from_sock(const struct sock_common *sk,
						       __u16 proto,
						       struct gadget_l4endpoint_t *src,
						       struct gadget_l4endpoint_t *dst)
{
	__builtin_memset(src, 0, sizeof(*src));
	__builtin_memset(dst, 0, sizeof(*dst));

	switch (BPF_CORE_READ(sk, skc_family)) {
	case AF_INET:
		src->version = dst->version = 4;
		src->addr_raw.v4 = BPF_CORE_READ(sk, skc_rcv_saddr);
		dst->addr_raw.v4 = BPF_CORE_READ(sk, skc_daddr);
		break;
	case AF_INET6:
		src->version = dst->version = 6;
		BPF_CORE_READ_INTO(&src->addr_raw.v6, sk,
				   skc_v6_rcv_saddr.in6_u.u6_addr8);
		BPF_CORE_READ_INTO(&dst->addr_raw.v6, sk, skc_v6_daddr.in6_u.u6_addr8);
		if (__gadget_is_mapped(src) || __gadget_is_mapped(dst)) {
			__gadget_unmap(src);
			__gadget_unmap(dst);
		}
		break;
	default:
		return false;
	}
	src->proto_raw = dst->proto_raw = proto;
	src->port = BPF_CORE_READ(sk, skc_num);
	dst->port = bpf_ntohs(BPF_CORE_READ(sk, skc_dport));
	return true;
}

#endif /* GADGET_ENDPOINT_H */
