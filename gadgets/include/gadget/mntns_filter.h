/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Restriction to the containers that the user selected. Including this header
 * is what makes a gadget filterable by container.
 */
#ifndef GADGET_MNTNS_FILTER_H
#define GADGET_MNTNS_FILTER_H

#include <gadget/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <gadget/libbpf_compat.h>

/* Set by the collector while containers are selected. */
const volatile bool gadget_filter_by_mntns = false;

/* Replaced by the collector's map, which it keeps in step with containers. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, gadget_mntns_id);
	__type(value, __u32);
} gadget_mntns_filter_map SEC(".maps");

static __always_inline bool gadget_should_discard_mntns_id(gadget_mntns_id mntns_id)
{
	return gadget_filter_by_mntns &&
	       !bpf_map_lookup_elem(&gadget_mntns_filter_map, &mntns_id);
}

#endif /* GADGET_MNTNS_FILTER_H */
