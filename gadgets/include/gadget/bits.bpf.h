/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Logarithms for histograms whose slots are powers of two. */
#ifndef GADGET_BITS_BPF_H
#define GADGET_BITS_BPF_H

/* The names are those of libm, which no BPF program links with. */
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wincompatible-library-redeclaration"

/* Position of the highest bit set; 0 for 0. A binary search, hence no loop. */
static __always_inline __u64 log2l(__u64 v)
{
	__u64 n = 0;

	if (v >> 32) {
		n += 32;
		v >>= 32;
	}
	if (v >> 16) {
		n += 16;
		v >>= 16;
	}
	if (v >> 8) {
		n += 8;
		v >>= 8;
	}
	if (v >> 4) {
		n += 4;
		v >>= 4;
	}
	if (v >> 2) {
		n += 2;
		v >>= 2;
	}
	return n + (v >> 1);
}

static __always_inline __u64 log2(__u32 v)
{
	return log2l(v);
}

#pragma clang diagnostic pop

/* 0 for 0; otherwise slot i holds the values from 2^(i-1) to 2^i - 1. */
static __always_inline __u64 get_slot_idx(__u64 v)
{
	return v ? log2l(v) + 1 : 0;
}

#endif /* GADGET_BITS_BPF_H */
