/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The FNV-1a hash, fed with integers in memory order. */
#ifndef GADGET_FNV1A_H
#define GADGET_FNV1A_H

#include <bpf/bpf_helpers.h>

#define FNV1_32_PRIME ((__u32)0x01000193)
#define FNV1_32_INIT ((__u32)0x811c9dc5)
#define FNV1_64_PRIME ((__u64)0x00000100000001b3)
#define FNV1_64_INIT ((__u64)0xcbf29ce484222325)

static __always_inline __u32 fnv_32a_init(void)
{
	return FNV1_32_INIT;
}

static __always_inline __u64 fnv_64a_init(void)
{
	return FNV1_64_INIT;
}

#define __fnv_update(bits, value_bits)                                      \
	static __always_inline void fnv_##bits##a_update_u##value_bits(     \
		__u##bits *hash, __u##value_bits value)                     \
	{                                                                   \
		__u##bits h = *hash;                                        \
                                                                            \
		_Pragma("unroll")                                           \
		for (int i = 0; i < value_bits; i += 8)                     \
			h = (h ^ ((value >> i) & 0xff)) * FNV1_##bits##_PRIME; \
		*hash = h;                                                  \
	}

__fnv_update(32, 8)
__fnv_update(32, 16)
__fnv_update(32, 32)
__fnv_update(32, 64)
__fnv_update(64, 8)
__fnv_update(64, 16)
__fnv_update(64, 32)
__fnv_update(64, 64)

#undef __fnv_update

#endif /* GADGET_FNV1A_H */
