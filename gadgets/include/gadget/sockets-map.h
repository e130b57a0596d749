/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Who owns this socket? The collector keeps the map gadget_sockets; programs
 * without process context find the owner of a packet in it. Before including
 * anything, define GADGET_TYPE_NETWORKING (socket filters, tc) to look up by
 * packet, or GADGET_TYPE_TRACING to look up by "struct sock".
 */
#ifndef GADGET_SOCKETS_MAP_H
#define GADGET_SOCKETS_MAP_H

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <gadget/types.h>

#define GADGET_SE_PACKET_HOST 0

#define GADGET_SE_ETH_HLEN 14
#define GADGET_SE_ETH_P_OFFSET 12
#define GADGET_SE_ETH_P_IP 0x0800
#define GADGET_SE_ETH_P_IPV6 0x86DD
#define GADGET_SE_AF_INET 2
#define GADGET_SE_AF_INET6 10

#define GADGET_SE_IPV4_PROTO_OFFSET 9
#define GADGET_SE_IPV6_HLEN 40
#define GADGET_SE_IPV6_NEXTHDR_OFFSET 6
/* Extension headers in one packet that are looked through. */
#define GADGET_SE_IPV6_MAX_EXT 6

/* UDP has its ports at the same places. */
#define GADGET_SE_TCPHDR_SOURCE_OFFSET 0
#define GADGET_SE_TCPHDR_DEST_OFFSET 2
#define GADGET_SE_UDPHDR_SOURCE_OFFSET 0
#define GADGET_SE_UDPHDR_DEST_OFFSET 2

#define GADGET_SE_NEXTHDR_HOP 0
#define GADGET_SE_NEXTHDR_TCP 6
#define GADGET_SE_NEXTHDR_UDP 17
#define GADGET_SE_NEXTHDR_ROUTING 43
#define GADGET_SE_NEXTHDR_FRAGMENT 44
#define GADGET_SE_NEXTHDR_AUTH 51
#define GADGET_SE_NEXTHDR_NONE 59
#define GADGET_SE_NEXTHDR_DEST 60

/* A key's padding takes part in the comparison: clear it. */
struct gadget_socket_key {
	__u32 netns;
	__u16 family;
	__u8 proto; /* IPPROTO_TCP or IPPROTO_UDP */
	__u16 port; /* local port, host byte order */
};

#define GADGET_MAX_SOCKETS 16384

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, GADGET_MAX_SOCKETS);
	__type(key, struct gadget_socket_key);
	__type(value, struct gadget_socket_value);
} gadget_sockets SEC(".maps");

/* An IPv4 packet may belong to an IPv6 socket that is not restricted to IPv6. */
static __always_inline struct gadget_socket_value *
__gadget_socket_find(struct gadget_socket_key *key)
{
	struct gadget_socket_value *owner = bpf_map_lookup_elem(&gadget_sockets, key);

	if (owner || key->family != GADGET_SE_AF_INET)
		return owner;

	key->family = GADGET_SE_AF_INET6;
	owner = bpf_map_lookup_elem(&gadget_sockets, key);
	return owner && owner->ipv6only == 0 ? owner : 0;
}

#ifdef GADGET_TYPE_NETWORKING
/* Steps over IPv6 extension headers; *off is moved to the transport header. */
static __always_inline __u8 __gadget_skip_ipv6_ext(const struct __sk_buff *skb,
						   __u8 next, __u32 *off)
{
	for (int i = 0; i < GADGET_SE_IPV6_MAX_EXT; i++) {
		__u8 head[2]; /* type of the next header, length of this one */

		switch (next) {
		case GADGET_SE_NEXTHDR_HOP:
		case GADGET_SE_NEXTHDR_ROUTING:
		case GADGET_SE_NEXTHDR_DEST:
		case GADGET_SE_NEXTHDR_FRAGMENT:
		case GADGET_SE_NEXTHDR_AUTH:
			break;
		default:
			return next;
		}
		if (bpf_skb_load_bytes(skb, *off, head, sizeof(head)))
			return GADGET_SE_NEXTHDR_NONE;

		if (next == GADGET_SE_NEXTHDR_FRAGMENT)
			*off += 8;
		else if (next == GADGET_SE_NEXTHDR_AUTH)
			*off += (head[1] + 2) * 4;
		else
			*off += (head[1] + 1) * 8;
		next = head[0];
	}
	return next;
}

/*
 * "is_ingress" is seen from the network namespace whose number the dispatcher
 * has put into cb[0]: the local port is the destination of incoming packets.
 */
static __always_inline struct gadget_socket_value *
gadget_socket_lookup_with_direction(const struct __sk_buff *skb, __u8 is_ingress)
{
	struct gadget_socket_key key;
	__u32 off = GADGET_SE_ETH_HLEN;
	__u16 ethertype, port;
	__u8 byte;

	__builtin_memset(&key, 0, sizeof(key));
	key.netns = skb->cb[0];

	if (bpf_skb_load_bytes(skb, GADGET_SE_ETH_P_OFFSET, &ethertype,
			       sizeof(ethertype)))
		return 0;
	switch (bpf_ntohs(ethertype)) {
	case GADGET_SE_ETH_P_IP:
		key.family = GADGET_SE_AF_INET;
		if (bpf_skb_load_bytes(skb, off + GADGET_SE_IPV4_PROTO_OFFSET,
				       &key.proto, sizeof(key.proto)))
			return 0;
		/* Low half of the first byte: header length in words. */
		if (bpf_skb_load_bytes(skb, off, &byte, sizeof(byte)))
			return 0;
		off += (byte & 0x0f) * 4;
		break;
	case GADGET_SE_ETH_P_IPV6:
		key.family = GADGET_SE_AF_INET6;
		if (bpf_skb_load_bytes(skb, off + GADGET_SE_IPV6_NEXTHDR_OFFSET,
				       &byte, sizeof(byte)))
			return 0;
		off += GADGET_SE_IPV6_HLEN;
		key.proto = __gadget_skip_ipv6_ext(skb, byte, &off);
		break;
	default:
		return 0;
	}

	if (key.proto != GADGET_SE_NEXTHDR_TCP && key.proto != GADGET_SE_NEXTHDR_UDP)
		return 0;
	off += is_ingress ? GADGET_SE_TCPHDR_DEST_OFFSET :
			    GADGET_SE_TCPHDR_SOURCE_OFFSET;
	if (bpf_skb_load_bytes(skb, off, &port, sizeof(port)))
		return 0;
	key.port = bpf_ntohs(port);

	return __gadget_socket_find(&key);
}

static __always_inline struct gadget_socket_value *
gadget_socket_lookup(const struct __sk_buff *skb)
{
	return gadget_socket_lookup_with_direction(
		skb, skb->pkt_type == GADGET_SE_PACKET_HOST);
}
#endif /* GADGET_TYPE_NETWORKING */

#ifdef GADGET_TYPE_TRACING
static __always_inline struct gadget_socket_value *
gadget_socket_lookup(const struct sock *sk, __u32 netns)
{
	struct gadget_socket_key key;

	__builtin_memset(&key, 0, sizeof(key));
	key.netns = netns;
	key.family = BPF_CORE_READ(sk, __sk_common.skc_family);
	key.proto = BPF_CORE_READ_BITFIELD_PROBED(sk, sk_protocol);
	key.port = BPF_CORE_READ(sk, __sk_common.skc_num);
	return __gadget_socket_find(&key);
}
#endif /* GADGET_TYPE_TRACING */

/* Describes the owner; leaves *p alone if there is none. */
static __always_inline void
gadget_process_populate_from_socket(const struct gadget_socket_value *skb_val,
				    struct gadget_process *p)
{
	if (!skb_val)
		return;

	p->pid = skb_val->pid_tgid >> 32;
	p->tid = (__u32)skb_val->pid_tgid;
	p->mntns_id = skb_val->mntns;
	p->creds.uid = (__u32)skb_val->uid_gid;
	p->creds.gid = skb_val->uid_gid >> 32;
	p->parent.pid = skb_val->ppid;
	p->parent.tid = skb_val->ptid;
	__builtin_memcpy(p->comm, skb_val->task, sizeof(p->comm));
	__builtin_memcpy(p->parent.comm, skb_val->ptask, sizeof(p->parent.comm));
}

#endif /* GADGET_SOCKETS_MAP_H */
