// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// packets by LD_ABS and LD_IND
#include "feature.h"

unsigned long long load_byte(void *skb, unsigned long long off) asm("llvm.bpf.load.byte");
unsigned long long load_word(void *skb, unsigned long long off) asm("llvm.bpf.load.word");

SEC("socket")
int run(struct __sk_buff *skb)
{
	__u32 at = load_byte(skb, 3) & 7;

	out[0] = load_byte(skb, 12) + load_word(skb, at);
	return skb->len;
}
