/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Histogram of the time that requests spend at block devices, one for each disk
 * and operation. It is counted in the kernel: nothing is sent per request.
 */
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <gadget/bits.bpf.h>
#include <gadget/core_fixes.bpf.h>
#include <gadget/macros.h>
#include <gadget/maps.bpf.h>
#include <gadget/types.h>

/* The last slot begins at 2^25 us, about 34 s, and takes all that is slower. */
#define SLOTS 27
#define SLOT_MASK 31
#define MAX_HISTOGRAMS 10240
/* Requests in flight; a disk's queue seldom holds more than a thousand. */
#define MAX_REQUESTS 10240
#define DISK_NAME_LEN 32
#define OP_MASK 0xff
#define MINOR_BITS 20

/*
 * Operations. These numbers are the kernel's own and have never changed; those of
 * the operations on zoned devices have, so they are taken together.
 */
enum blockio_op {
	read = 0,
	write = 1,
	flush = 2,
	discard = 3,
	secure_erase = 5,
	write_zeroes = 9,
	driver = 32, /* commands passed through, this one and above */
	other = 255,
};

struct hist_key {
	__u32 cmd_flags;
	__u32 dev;
	enum blockio_op op_raw;
	char disk[DISK_NAME_LEN];
};

struct hist_value {
	gadget_histogram_slot__u32 latency[SLOTS];
};

const volatile bool queued = false;
GADGET_PARAM(queued);

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_HISTOGRAMS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct hist_key);
	__type(value, struct hist_value);
} hists SEC(".maps");

GADGET_MAPITER(blockio, hists);

/* When the clock of a request began to run, by its address. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_REQUESTS);
	__type(key, __u64);
	__type(value, __u64);
} started SEC(".maps");

static struct hist_value no_samples;

/* 5.11 dropped the first argument. Only the prototypes are compared. */
struct request___empty {};
struct request_queue___empty {};
typedef void (*btf_trace_block_rq_insert___one)(void *, struct request___empty *);
typedef void (*btf_trace_block_rq_insert___two)(void *, struct request_queue___empty *,
						struct request___empty *);
typedef void (*btf_trace_block_rq_issue___one)(void *, struct request___empty *);
typedef void (*btf_trace_block_rq_issue___two)(void *, struct request_queue___empty *,
					       struct request___empty *);

static __always_inline void start_clock(__u64 rq, __u64 flags)
{
	__u64 now = bpf_ktime_get_ns();

	bpf_map_update_elem(&started, &rq, &now, flags);
}

/* A request enters the queue of a scheduler. */
SEC("raw_tp/block_rq_insert")
int ig_blockio_insert(struct bpf_raw_tracepoint_args *ctx)
{
	if (!queued)
		return 0;
	if (bpf_core_type_matches(btf_trace_block_rq_insert___one))
		start_clock(ctx->args[0], BPF_ANY);
	else if (bpf_core_type_matches(btf_trace_block_rq_insert___two))
		start_clock(ctx->args[1], BPF_ANY);
	else
		bpf_core_unreachable();
	return 0;
}

/* It goes to the device; what was not queued before starts here in any case. */
SEC("raw_tp/block_rq_issue")
int ig_blockio_issue(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 flags = queued ? BPF_NOEXIST : BPF_ANY;

	if (bpf_core_type_matches(btf_trace_block_rq_issue___one))
		start_clock(ctx->args[0], flags);
	else if (bpf_core_type_matches(btf_trace_block_rq_issue___two))
		start_clock(ctx->args[1], flags);
	else
		bpf_core_unreachable();
	return 0;
}

static __always_inline enum blockio_op operation(__u32 op)
{
	switch (op) {
	case read:
	case write:
	case flush:
	case discard:
	case secure_erase:
	case write_zeroes:
		return op;
	default:
		return op >= driver ? driver : other;
	}
}

static __always_inline void describe(struct hist_key *key, struct request *rq)
{
	struct gendisk *disk = get_disk(rq);

	key->cmd_flags = BPF_CORE_READ(rq, cmd_flags) & OP_MASK;
	key->op_raw = operation(key->cmd_flags);
	if (!disk)
		return;
	key->dev = BPF_CORE_READ(disk, major) << MINOR_BITS |
		   BPF_CORE_READ(disk, first_minor);
	BPF_CORE_READ_STR_INTO(&key->disk, disk, disk_name);
}

SEC("raw_tp/block_rq_complete")
int BPF_PROG(ig_blockio_complete, struct request *rq)
{
	__u64 id = (__u64)rq, now = bpf_ktime_get_ns(), slot;
	struct hist_key key = {};
	struct hist_value *hist;
	__u64 *start;

	start = bpf_map_lookup_elem(&started, &id);
	if (!start)
		return 0;

	slot = now > *start ? get_slot_idx((now - *start) / 1000) : 0;
	bpf_map_delete_elem(&started, &id);

	describe(&key, rq);
	hist = bpf_map_lookup_or_try_init(&hists, &key, &no_samples);
	if (!hist)
		return 0;

	if (slot >= SLOTS)
		slot = SLOTS - 1;
	/*
	 * Verifiers up to 6.1 at least take an atomic addition for misaligned if
	 * they know only the index's range, so it passes through a mask as well;
	 * the barriers keep the compiler from leaving the mask out.
	 */
	barrier_var(slot);
	slot &= SLOT_MASK;
	barrier_var(slot);
	if (slot < SLOTS)
		__sync_fetch_and_add(&hist->latency[slot], 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
