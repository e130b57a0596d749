/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The TCP and UDP sockets that exist. The collector reads both iterators once in
 * each network namespace.
 */
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <gadget/endpoint.h>
#include <gadget/macros.h>
#include <gadget/types.h>

struct socket_entry {
	struct gadget_l4endpoint_t src;
	struct gadget_l4endpoint_t dst;
	enum gadget_socket_state state_raw;
	__u32 ino;
	gadget_netns_id netns_id;
};

GADGET_ITER(sockets, socket_entry, ig_snap_tcp, ig_snap_udp);

/* Inode of the socket's file; 0 once, or before, a process can hold it. */
static __always_inline __u32 inode_of(struct sock *sk)
{
	struct socket *socket = BPF_CORE_READ(sk, sk_socket);
	__u64 offset = __builtin_preserve_field_info(((struct socket_alloc *)0)->socket,
						     BPF_FIELD_BYTE_OFFSET);
	struct socket_alloc *alloc = (void *)socket - offset;

	return socket ? BPF_CORE_READ(alloc, vfs_inode.i_ino) : 0;
}

static __always_inline void emit(struct seq_file *seq, struct sock_common *sk,
				 struct sock *full, __u16 proto)
{
	struct socket_entry entry;

	__builtin_memset(&entry, 0, sizeof(entry));
	if (!gadget_endpoints_from_sock(sk, proto, &entry.src, &entry.dst))
		return;
	entry.state_raw = BPF_CORE_READ(sk, skc_state);
	entry.ino = full ? inode_of(full) : 0;
	entry.netns_id = BPF_CORE_READ(sk, skc_net.net, ns.inum);
	bpf_seq_write(seq, &entry, sizeof(entry));
}

SEC("iter/tcp")
int ig_snap_tcp(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common;
	__u8 state;

	if (!sk)
		return 0;
	/* Of these two kinds the kernel keeps less than a whole struct sock. */
	state = BPF_CORE_READ(sk, skc_state);
	emit(ctx->meta->seq, sk,
	     state == TCP_TIME_WAIT || state == TCP_NEW_SYN_RECV ? 0 : (void *)sk,
	     IPPROTO_TCP);
	return 0;
}

SEC("iter/udp")
int ig_snap_udp(struct bpf_iter__udp *ctx)
{
	struct sock *sk = (struct sock *)ctx->udp_sk;

	if (sk)
		emit(ctx->meta->seq, &sk->__sk_common, sk, IPPROTO_UDP);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
