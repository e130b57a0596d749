// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Two hooks for packet filters: what the unnamed one says is returned, the other one's verdict is added to it.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <gadget/packetfilter.h>

GADGET_PF();
GADGET_PF(second);

static __always_inline int judge(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;

	return gadget_pf_matches(skb, data, data_end) +
	       2 * gadget_pf_matches(second, skb, data, data_end);
}

SEC("classifier/ingress/main")
int incoming(struct __sk_buff *skb)
{
	return judge(skb);
}

// Here a packet has no addresses of its data.
SEC("socket1")
int packets(struct __sk_buff *skb)
{
	return gadget_pf_matches(skb, (void *)0, (void *)8) ? 8 : 4;
}

char _license[] SEC("license") = "GPL";
