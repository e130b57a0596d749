/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Calls of the C library that take or give back memory. Each call costs its
 * program a trap into the kernel, and a second one where a result is awaited.
 */
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <gadget/buffer.h>
#include <gadget/common.h>
#include <gadget/filter.h>
#include <gadget/macros.h>
#include <gadget/types.h>
#include <gadget/user_stack_map.h>

/* Calls under way at once: seldom more than one a thread. */
#define MAX_CALLS 10240

enum memop {
	malloc,
	free,
	calloc,
	realloc,
	realloc_free, /* what realloc gives back */
	mmap,
	munmap,
	posix_memalign,
	aligned_alloc,
	valloc,
	memalign,
	pvalloc,
	memop_count,
};

struct event {
	gadget_timestamp timestamp_raw;
	struct gadget_process proc;

	struct gadget_user_stack ustack;

	enum memop operation_raw;
	__u64 addr;
	__u64 size;
};

/*
 * One call contains another: malloc obtains large blocks by mmap, and with some
 * libraries calloc calls malloc. Therefore a thread alone is not enough of a key.
 */
struct memop_key {
	__u32 tid;
	__u32 operation;
};

struct memop_call {
	__u64 size;
	/* Where posix_memalign puts the address; of aligned_alloc and memalign the stack. */
	__u64 where;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_CALLS);
	__type(key, struct memop_key);
	__type(value, struct memop_call);
} calls SEC(".maps");

GADGET_TRACER_MAP(events, 1024 * 256);
GADGET_TRACER(malloc, events, event);

static __always_inline int emit(struct pt_regs *ctx, enum memop operation, __u64 addr,
				__u64 size)
{
	struct event *event = gadget_reserve_buf(&events, sizeof(*event));

	if (!event)
		return 0;
	event->timestamp_raw = bpf_ktime_get_boot_ns();
	gadget_process_populate(&event->proc);
	event->operation_raw = operation;
	event->addr = addr;
	event->size = size;
	gadget_get_user_stack(ctx, &event->ustack);
	gadget_submit_buf(ctx, &events, event, sizeof(*event));
	return 0;
}

/* A call whose result is awaited. The filters are asked here and not at its end. */
static __always_inline int call_begins(enum memop operation, __u64 size, __u64 where)
{
	struct memop_key key = { .operation = operation };
	struct memop_call call = { .size = size, .where = where };

	if (gadget_should_discard_data_current())
		return 0;
	key.tid = bpf_get_current_pid_tgid();
	if (bpf_map_update_elem(&calls, &key, &call, BPF_ANY))
		__gadget_count_lost(&events_lost_samples);
	return 0;
}

/* True if this very call goes by another name too: two symbols, one function. */
static __always_inline bool is_also(enum memop operation, __u64 stack)
{
	struct memop_key key = {
		.tid = bpf_get_current_pid_tgid(),
		.operation = operation,
	};
	struct memop_call *begun = bpf_map_lookup_elem(&calls, &key);

	return begun && begun->where == stack;
}

/* False if the call began before the gadget did, or is not wanted. */
static __always_inline bool call_ends(enum memop operation, struct memop_call *call)
{
	struct memop_key key = {
		.tid = bpf_get_current_pid_tgid(),
		.operation = operation,
	};
	struct memop_call *begun = bpf_map_lookup_elem(&calls, &key);

	if (!begun)
		return false;
	*call = *begun;
	bpf_map_delete_elem(&calls, &key);
	return true;
}

/* A call without a result. */
static __always_inline int call_happens(struct pt_regs *ctx, enum memop operation,
					__u64 addr, __u64 size)
{
	if (gadget_should_discard_data_current())
		return 0;
	return emit(ctx, operation, addr, size);
}

static __always_inline int returns_address(struct pt_regs *ctx, enum memop operation)
{
	struct memop_call call;

	if (!call_ends(operation, &call))
		return 0;
	return emit(ctx, operation, PT_REGS_RC(ctx), call.size);
}

/* The program at the end of a function; "?" if not every C library has that. */
#define RETURNS_ADDRESS(optional, function)                   \
	SEC(optional "uretprobe/libc:" #function)             \
	int trace_uretprobe_##function(struct pt_regs *ctx)   \
	{                                                     \
		return returns_address(ctx, function);        \
	}

/* A thread that is killed in the middle of a call never returns from it. */
SEC("tracepoint/sched/sched_process_exit")
int trace_sched_process_exit(void *ctx)
{
	struct memop_key key = { .tid = bpf_get_current_pid_tgid() };

	for (int i = 0; i < memop_count; i++) {
		key.operation = i;
		bpf_map_delete_elem(&calls, &key);
	}
	return 0;
}

SEC("uprobe/libc:malloc")
int BPF_UPROBE(trace_uprobe_malloc, size_t size)
{
	return call_begins(malloc, size, 0);
}

RETURNS_ADDRESS("", malloc)

SEC("uprobe/libc:free")
int BPF_UPROBE(trace_uprobe_free, void *address)
{
	return call_happens(ctx, free, (__u64)address, 0);
}

SEC("uprobe/libc:calloc")
int BPF_UPROBE(trace_uprobe_calloc, size_t nmemb, size_t size)
{
	__u64 most = nmemb ? (__u64)-1 / nmemb : 0;

	/* Or the compiler makes it a multiplication of 128 bits. */
	barrier_var(most);
	return call_begins(calloc, size > most && nmemb ? (__u64)-1 : nmemb * size, 0);
}

RETURNS_ADDRESS("", calloc)

/*
 * The old block is reported first: another thread may have it before realloc
 * returns. If that fails, the block is still there.
 */
SEC("uprobe/libc:realloc")
int BPF_UPROBE(trace_uprobe_realloc, void *ptr, size_t size)
{
	if (ptr)
		call_happens(ctx, realloc_free, (__u64)ptr, 0);
	return call_begins(realloc, size, 0);
}

RETURNS_ADDRESS("", realloc)

SEC("uprobe/libc:mmap")
int BPF_UPROBE(trace_uprobe_mmap, void *address, size_t size)
{
	return call_begins(mmap, size, 0);
}

RETURNS_ADDRESS("", mmap)

SEC("uprobe/libc:munmap")
int BPF_UPROBE(trace_uprobe_munmap, void *address, size_t size)
{
	return call_happens(ctx, munmap, (__u64)address, size);
}

SEC("uprobe/libc:posix_memalign")
int BPF_UPROBE(trace_uprobe_posix_memalign, void **memptr, size_t alignment, size_t size)
{
	return call_begins(posix_memalign, size, (__u64)memptr);
}

/* Returns an error number; the address is where the caller wanted it. */
SEC("uretprobe/libc:posix_memalign")
int BPF_URETPROBE(trace_uretprobe_posix_memalign, int error)
{
	struct memop_call call;
	__u64 addr = 0;

	if (!call_ends(posix_memalign, &call))
		return 0;
	/* Just written: if it cannot be read, the block shows without an address. */
	if (error || bpf_probe_read_user(&addr, sizeof(addr), (void *)call.where))
		addr = 0;
	return emit(ctx, posix_memalign, addr, call.size);
}

/*
 * glibc before 2.38 has one function for both names, so both programs see each
 * call, in any order. It is shown once, as aligned_alloc.
 */
SEC("uprobe/libc:aligned_alloc")
int BPF_UPROBE(trace_uprobe_aligned_alloc, size_t alignment, size_t size)
{
	struct memop_key other = {
		.tid = bpf_get_current_pid_tgid(),
		.operation = memalign,
	};
	__u64 stack = PT_REGS_SP(ctx);

	if (is_also(memalign, stack))
		bpf_map_delete_elem(&calls, &other);
	return call_begins(aligned_alloc, size, stack);
}

RETURNS_ADDRESS("", aligned_alloc)

SEC("uprobe/libc:memalign")
int BPF_UPROBE(trace_uprobe_memalign, size_t alignment, size_t size)
{
	__u64 stack = PT_REGS_SP(ctx);

	return is_also(aligned_alloc, stack) ? 0 : call_begins(memalign, size, stack);
}

RETURNS_ADDRESS("", memalign)

/* The two that some C libraries have dropped or never had. */
SEC("?uprobe/libc:valloc")
int BPF_UPROBE(trace_uprobe_valloc, size_t size)
{
	return call_begins(valloc, size, 0);
}

RETURNS_ADDRESS("?", valloc)

SEC("?uprobe/libc:pvalloc")
int BPF_UPROBE(trace_uprobe_pvalloc, size_t size)
{
	return call_begins(pvalloc, size, 0);
}

RETURNS_ADDRESS("?", pvalloc)

char LICENSE[] SEC("license") = "Dual BSD/GPL";
