/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A program that counts its runs. No types of any kernel: what is tried is the hook. */
#pragma once

#define SEC(name) __attribute__((section(name), used))

char _license[] SEC("license") = "GPL";

#define COUNT_RETURNING(section, name, value)            \
	unsigned long long hits_##name;                  \
	SEC(section) int name(void *ctx)                 \
	{                                                \
		__sync_fetch_and_add(&hits_##name, 1);   \
		return value;                            \
	}
#define COUNT(section, name) COUNT_RETURNING(section, name, 0)
