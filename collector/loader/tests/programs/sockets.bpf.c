// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// Writes the local port of every TCP socket of a network namespace.
#include <vmlinux.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

SEC("iter/tcp") int tcp_ports(struct bpf_iter__tcp *context)
{
	struct sock_common *sock = context->sk_common;
	__u16 port;

	if (!sock)
		return 0;
	port = BPF_CORE_READ(sock, skc_num);
	bpf_seq_write(context->meta->seq, &port, sizeof(port));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
