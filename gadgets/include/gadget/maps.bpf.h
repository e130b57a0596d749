/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef GADGET_MAPS_BPF_H
#define GADGET_MAPS_BPF_H

#include <bpf/bpf_helpers.h>
#include <asm-generic/errno.h>

/*
 * The value of "key", created from "init" if it is not there yet. NULL if the
 * map is full. When two CPUs race to create it, both get the same value.
 */
static __always_inline void *bpf_map_lookup_or_try_init(void *map, const void *key,
							const void *init)
{
	void *value = bpf_map_lookup_elem(map, key);
	long err;

	if (value)
		return value;

	err = bpf_map_update_elem(map, key, init, BPF_NOEXIST);
	if (err && err != -EEXIST)
		return 0;

	return bpf_map_lookup_elem(map, key);
}

#endif /* GADGET_MAPS_BPF_H */
