/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Packet filters that the collector compiles from a pcap expression. GADGET_PF(x)
 * declares a function that matches every packet; at load time the collector puts
 * the filter's instructions in front of its body. It offers the user a parameter
 * "pf-x", or "pf" for GADGET_PF().
 */
#ifndef GADGET_PACKETFILTER_H
#define GADGET_PACKETFILTER_H

#include <bpf/bpf_helpers.h>

/*
 * The inserted code leaves its verdict in the argument registers: first to third
 * alike, and the fourth unlike the fifth for "match". The compiler must neither
 * see through that nor drop arguments, hence "used" and the barrier.
 */
#define GADGET_PF(name)                                                        \
	static __attribute__((noinline, used)) bool gadget_pf_##name(          \
		void *skb1, void *skb2, void *skb3, void *data, void *data_end) \
	{                                                                      \
		asm volatile("" ::: "memory");                                 \
		return data != data_end && skb1 == skb2 && skb2 == skb3;       \
	}

/* gadget_pf_matches([name,] skb, data, data_end) */
#define gadget_pf_matches(...)                                                \
	__gadget_pf_pick(__VA_ARGS__, __gadget_pf_named, __gadget_pf_unnamed, \
			 , )                                                  \
	(__VA_ARGS__)

#define __gadget_pf_pick(_1, _2, _3, _4, pick, ...) pick
#define __gadget_pf_named(name, skb, data, data_end) \
	gadget_pf_matches_impl(name, skb, data, data_end)
#define __gadget_pf_unnamed(skb, data, data_end) \
	gadget_pf_matches_impl(, skb, data, data_end)
#define gadget_pf_matches_impl(name, skb, data, data_end) \
	gadget_pf_##name(skb, skb, skb, data, data_end)

#endif /* GADGET_PACKETFILTER_H */
