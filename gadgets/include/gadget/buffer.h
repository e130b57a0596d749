/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Sending records to userspace.
 *
 *	GADGET_TRACER_MAP(events, 1024 * 256);
 *	GADGET_TRACER(open, events, event);
 *	...
 *	struct event *e = gadget_reserve_buf(&events, sizeof(*e));
 *	if (!e)
 *		return 0;
 *	...
 *	gadget_submit_buf(ctx, &events, e, sizeof(*e));
 *
 * On kernels without BPF ring buffers the loader turns the map into a perf event
 * array; the checks on enum bpf_func_id below become constants at load time, so
 * the verifier sees only the half that the running kernel can execute.
 */
#ifndef GADGET_BUFFER_H
#define GADGET_BUFFER_H

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* Largest record that gadget_reserve_buf() serves without ring buffers. */
#ifndef GADGET_MAX_EVENT_SIZE
#define GADGET_MAX_EVENT_SIZE 10240
#endif

/* <name>_lost_samples counts, per CPU, the records that found no room. */
#define GADGET_TRACER_MAP(name, size)                                 \
	struct {                                                      \
		__uint(type, BPF_MAP_TYPE_RINGBUF);                   \
		__uint(max_entries, size);                            \
	} name SEC(".maps");                                          \
	const void *gadget_map_tracer_##name __attribute__((unused)); \
	struct {                                                      \
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);              \
		__uint(max_entries, 1);                               \
		__type(key, __u32);                                   \
		__type(value, __u64);                                 \
	} name##_lost_samples SEC(".maps");

static __always_inline void __gadget_count_lost(void *lost_samples)
{
	__u32 zero = 0;
	__u64 *lost = bpf_map_lookup_elem(lost_samples, &zero);

	/* Atomic: an interrupt on this CPU may run a gadget's program too. */
	if (lost)
		__sync_fetch_and_add(lost, 1);
}

/*
 * Gadgets that only ever copy ready-made records define GADGET_NO_BUF_RESERVE
 * before the include and save the memory of the scratch map.
 */
#ifndef GADGET_NO_BUF_RESERVE

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, GADGET_MAX_EVENT_SIZE);
} gadget_heap SEC(".maps");

/*
 * Room for one record, or NULL, which has already been counted as lost. The
 * memory is not cleared. Each record must be submitted or discarded.
 */
#define gadget_reserve_buf(map, size) \
	__gadget_reserve_buf(map, map##_lost_samples, size)

static __always_inline void *__gadget_reserve_buf(void *map, void *lost_samples,
						  __u64 size)
{
	__u32 zero = 0;

	if (bpf_core_enum_value_exists(enum bpf_func_id,
				       BPF_FUNC_ringbuf_reserve)) {
		void *record = bpf_ringbuf_reserve(map, size, 0);

		if (!record)
			__gadget_count_lost(lost_samples);
		return record;
	}
	return bpf_map_lookup_elem(&gadget_heap, &zero);
}

static __always_inline void gadget_discard_buf(void *record)
{
	if (bpf_core_enum_value_exists(enum bpf_func_id,
				       BPF_FUNC_ringbuf_discard))
		bpf_ringbuf_discard(record, 0);
}

/* Userspace counts what perf buffers lose, so nothing is counted here. */
static __always_inline long gadget_submit_buf(void *ctx, void *map, void *record,
					      __u64 size)
{
	if (bpf_core_enum_value_exists(enum bpf_func_id,
				       BPF_FUNC_ringbuf_submit)) {
		bpf_ringbuf_submit(record, 0);
		return 0;
	}
	return bpf_perf_event_output(ctx, map, BPF_F_CURRENT_CPU, record, size);
}

#endif /* GADGET_NO_BUF_RESERVE */

/* Copies a record that lies elsewhere; its size may vary from call to call. */
#define gadget_output_buf(ctx, map, buf, size) \
	__gadget_output_buf(ctx, map, map##_lost_samples, buf, size)

static __always_inline long __gadget_output_buf(void *ctx, void *map,
						void *lost_samples, void *buf,
						__u64 size)
{
	if (bpf_core_enum_value_exists(enum bpf_func_id,
				       BPF_FUNC_ringbuf_output)) {
		long err = bpf_ringbuf_output(map, buf, size, 0);

		if (err)
			__gadget_count_lost(lost_samples);
		return err;
	}
	return bpf_perf_event_output(ctx, map, BPF_F_CURRENT_CPU, buf, size);
}

#endif /* GADGET_BUFFER_H */
