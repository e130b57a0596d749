/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Packets that a filter lets through, which is put in front of the function's body. */
#include "count.h"

struct packet {
	unsigned int before[19];
	unsigned int data;
	unsigned int data_end;
};

static __attribute__((noinline, used)) _Bool gadget_pf_(void *skb1, void *skb2, void *skb3, void *data,
							void *data_end)
{
	asm volatile("" ::: "memory");
	return data != data_end && skb1 == skb2 && skb2 == skb3;
}

unsigned long long hits_filtered;

SEC("classifier/ingress")
int filtered(struct packet *skb)
{
	if (gadget_pf_(skb, skb, skb, (void *)(long)skb->data, (void *)(long)skb->data_end))
		__sync_fetch_and_add(&hits_filtered, 1);
	return -1;
}
