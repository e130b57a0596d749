/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Samples what runs on each processor, 49 times a second by gadget.yaml. Equal
 * samples (task, kernel stack, user stack) are counted here; the counts are read
 * and emptied at intervals.
 */
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <gadget/common.h>
#include <gadget/filter.h>
#include <gadget/kernel_stack_map.h>
#include <gadget/macros.h>
#include <gadget/types.h>
#include <gadget/user_stack_map.h>

#define GPU_BRIDGE_WANT_META
#define GPU_BRIDGE_WANT_DEVICE
#define GPU_BRIDGE_WANT_PER_PID
#include <gadget/gpu_bridge_maps.h>

/* Different samples between two reads. */
#define MAX_ENTRIES 10240

/* In place of a stack's slot. */
#define NO_STACK ((gadget_kernel_stack)-1)

/* Addresses of the kernel are the upper half on x86-64 and arm64. */
#define KERNEL_ADDRESS_BIT (1ULL << 63)

/*
 * What makes samples equal. Of the user's stack only its number belongs here: the
 * rest of struct gadget_user_stack changes with each sample.
 */
struct key_t {
	__u64 kernel_ip;
	__u32 user_stack_id;
	gadget_kernel_stack kern_stack_raw;
	struct gadget_process proc;
};

struct values {
	__u64 samples;
	/* Of the first sample. */
	struct gadget_user_stack user_stack_raw;
};

const volatile bool kernel_stacks_only = false;
GADGET_PARAM(kernel_stacks_only);

const volatile bool user_stacks_only = false;
GADGET_PARAM(user_stacks_only);

const volatile bool include_idle = false;
GADGET_PARAM(include_idle);

const volatile bool gpu_idle_only = false;
GADGET_PARAM(gpu_idle_only);
GADGET_PIN_IF(gpu_meta, gpu_idle_only);
GADGET_PIN_IF(gpu_device, gpu_idle_only);
GADGET_PIN_IF(gpu_per_pid, gpu_idle_only);

/* A GPU whose utilisation is below this counts as idle. */
const volatile __u32 gpu_util_max_pct = 70;
GADGET_PARAM(gpu_util_max_pct);

/* A process with less GPU memory than this does not count as a user of it. */
const volatile __u64 min_gpu_mem_bytes = 1;
GADGET_PARAM(min_gpu_mem_bytes);

/* What is older is not believed. */
const volatile __u64 stale_threshold_ms = 300;
GADGET_PARAM(stale_threshold_ms);

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_ENTRIES);
	__type(key, struct key_t);
	__type(value, struct values);
} counts SEC(".maps");

GADGET_MAPITER(samples, counts);

/* A sample is too large for the 256 bytes of stack that tail calls leave. */
struct cpu_sample {
	struct key_t key;
	struct values values;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cpu_sample);
} scratch SEC(".maps");

/* True if the GPU exists and has little to do. */
static __always_inline bool gpu_is_idle(__u32 index)
{
	struct gpu_device_metrics *gpu = bpf_map_lookup_elem(&gpu_device, &index);

	return gpu && gpu->sm_util_pct < gpu_util_max_pct;
}

/* True if the process keeps GPU memory while its GPU idles. */
static __always_inline bool starves_gpu(__u32 pid)
{
	struct gpu_pid_metrics_aggregated *held;

	if (!gpu_meta_fresh(bpf_ktime_get_boot_ns(), stale_threshold_ms))
		return false;
	held = gpu_pid_holder(pid, min_gpu_mem_bytes);
	if (!held)
		return false;
	/* With several GPUs there is none to ask about. */
	return held->gpu_device_primary == GPU_DEVICE_PRIMARY_MULTI ||
	       gpu_is_idle(held->gpu_device_primary);
}

static __always_inline void count(const struct cpu_sample *sample)
{
	struct values *known = bpf_map_lookup_elem(&counts, &sample->key);

	if (known)
		__sync_fetch_and_add(&known->samples, 1);
	else
		bpf_map_update_elem(&counts, &sample->key, &sample->values,
				    BPF_NOEXIST);
}

SEC("perf_event/profiler")
int ig_prof_cpu(struct bpf_perf_event_data *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct gadget_user_stack *ustack;
	struct cpu_sample *sample;
	__u32 zero = 0;
	__u64 ip;

	/* The idle task is 0 on every processor. */
	if (!include_idle && (__u32)pid_tgid == 0)
		return 0;
	if (gadget_should_discard_data_current())
		return 0;
	if (gpu_idle_only && !starves_gpu(pid_tgid >> 32))
		return 0;
	sample = bpf_map_lookup_elem(&scratch, &zero);
	if (!sample)
		return 0;

	gadget_process_populate(&sample->key.proc);
	sample->key.kernel_ip = 0;
	sample->key.kern_stack_raw = NO_STACK;
	/* A task that is interrupted in user space has nothing on its kernel stack. */
	ip = PT_REGS_IP(&ctx->regs);
	if (!user_stacks_only && (ip & KERNEL_ADDRESS_BIT)) {
		sample->key.kernel_ip = ip;
		sample->key.kern_stack_raw = gadget_get_kernel_stack(ctx);
	}

	ustack = &sample->values.user_stack_raw;
	if (kernel_stacks_only)
		__builtin_memset(ustack, 0, sizeof(*ustack));
	else
		gadget_get_user_stack(ctx, ustack);
	sample->key.user_stack_id = ustack->stack_id;
	sample->values.samples = 1;
	count(sample);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
