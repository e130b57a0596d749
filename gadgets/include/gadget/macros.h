/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Markers that tell the loader what an object offers.
 *
 * A marker is a global variable of type "const void *" that nobody reads: only
 * its name carries information. Name parts are joined by exactly three
 * underscores, therefore no name given to these macros may contain "___".
 */
#ifndef GADGET_MACROS_H
#define GADGET_MACROS_H

#include <gadget/libbpf_compat.h>

#define __gadget_marker(id) const void *id __attribute__((unused));

/* A pointer variable makes clang emit the struct's complete BTF. */
#define __gadget_keep_type(id, type) struct type *id __attribute__((unused));

/*
 * GADGET_TRACER(name, map, type): data source "name"; each record that arrives
 * through "map" (see GADGET_TRACER_MAP) is one "struct type".
 */
#define GADGET_TRACER(name, map, type)                                \
	__gadget_marker(gadget_tracer_##name##___##map##___##type)    \
	__gadget_keep_type(unusedevent_##name##___##type, type)

/*
 * GADGET_PARAM(var): "const volatile" global that users may set at start. The
 * gadget.yaml section params.ebpf.<var> gives it its public name and help text.
 */
#define GADGET_PARAM(var) __gadget_marker(gadget_param_##var)

/*
 * GADGET_MAPITER(name, map): array data source "name", filled by reading and
 * emptying the hash "map" at intervals. Key and value must be bare structs.
 */
#define GADGET_MAPITER(name, map) __gadget_marker(gadget_mapiter_##name##___##map)

/*
 * GADGET_ITER(name, type, prog...): array data source "name" whose elements are
 * the "struct type" records that one to three "iter/..." programs write.
 */
#define GADGET_ITER(name, type, ...)                              \
	__gadget_iter_pick(__VA_ARGS__, __gadget_iter_3,          \
			   __gadget_iter_2, __gadget_iter_1, )    \
	(name, type, __VA_ARGS__)                                 \
	__gadget_keep_type(unusedevent_##name##___##type, type)

/* The older name of GADGET_ITER. */
#define GADGET_SNAPSHOTTER(name, type, ...) GADGET_ITER(name, type, __VA_ARGS__)

#define __gadget_iter_pick(_1, _2, _3, pick, ...) pick
#define __gadget_iter_1(n, t, p1) __gadget_marker(gadget_iter_##n##___##t##___##p1)
#define __gadget_iter_2(n, t, p1, p2) \
	__gadget_marker(gadget_iter_##n##___##t##___##p1##___##p2)
#define __gadget_iter_3(n, t, p1, p2, p3) \
	__gadget_marker(gadget_iter_##n##___##t##___##p1##___##p2##___##p3)

/* The map that the "iter/bpf_map_elem" program "prog" walks. */
#define GADGET_ITER_TARGET_MAP(prog, map) \
	__gadget_marker(gadget_mapelem_iter_target_##prog##___##map)

/* The sockmap or sockhash that the SK_SKB or SK_MSG program "prog" serves. */
#define GADGET_SK_TARGET_MAP(prog, map) \
	__gadget_marker(gadget_sk_prog_target_##prog##___##map)

/*
 * GADGET_PIN_IF(map, var): "map", which is pinned by name, is only looked at where
 * the "const volatile" global "var" is not zero. Otherwise nothing is pinned.
 */
#define GADGET_PIN_IF(map, var) __gadget_marker(gadget_pin_if_##map##___##var)

#endif /* GADGET_MACROS_H */
