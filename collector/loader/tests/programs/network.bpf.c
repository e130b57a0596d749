// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Programs at sockets, interfaces and cgroups. Each notes what it saw in `seen`.
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

enum place {
	SOCKET,
	INGRESS,
	EGRESS,
	XDP,
	CGROUP,
	OPERATIONS,
	LOOKUP,
	MESSAGE,
	PLACES,
};

__u64 seen[PLACES];
__u32 networks[PLACES];

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} sockets SEC(".maps");

static void note(enum place place, struct __sk_buff *skb)
{
	__sync_fetch_and_add(&seen[place], 1);
	networks[place] = skb->cb[0];
}

SEC("socket1")
int packets(struct __sk_buff *skb)
{
	note(SOCKET, skb);
	return 0;
}

SEC("classifier/ingress/main")
int incoming(struct __sk_buff *skb)
{
	note(INGRESS, skb);
	return -1;
}

SEC("classifier/egress/main")
int outgoing(struct __sk_buff *skb)
{
	note(EGRESS, skb);
	return -1;
}

SEC("xdp")
int early(struct xdp_md *context)
{
	__sync_fetch_and_add(&seen[XDP], 1);
	return XDP_PASS;
}

SEC("cgroup_skb/egress")
int leaving(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&seen[CGROUP], 1);
	return 1;
}

SEC("sockops")
int operations(struct bpf_sock_ops *operation)
{
	__sync_fetch_and_add(&seen[OPERATIONS], 1);
	return 0;
}

SEC("sk_lookup")
int lookup(struct bpf_sk_lookup *context)
{
	__sync_fetch_and_add(&seen[LOOKUP], 1);
	return SK_PASS;
}

SEC("sk_msg")
int message(struct sk_msg_md *message)
{
	__sync_fetch_and_add(&seen[MESSAGE], 1);
	return SK_PASS;
}

char LICENSE[] SEC("license") = "GPL";
