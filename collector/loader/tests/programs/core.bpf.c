// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// One answer per kind of CO-RE relocation, written to a variable each.
#define BPF_NO_PRESERVE_ACCESS_INDEX
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define RELOC __attribute__((preserve_access_index))

/* Shuffled, shortened, and flavoured. */
struct task_struct___mine {
	char comm[16];
	int tgid;
	struct task_struct___mine *real_parent;
	void *never_there;
} RELOC;

struct no_such_struct___x {
	int a;
} RELOC;

/* `unsigned int ipv6only : 1` sits in the middle of bit-fields. */
struct sock___bits {
	unsigned int sk_no_check_tx : 1;
	unsigned int sk_protocol_gone : 3;
} RELOC;

enum bpf_func_id___x {
	BPF_FUNC_ringbuf_output___x = 7,
	BPF_FUNC_never___x = 8,
};

enum no_such_enum___x {
	NO_SUCH_VALUE___x = 1,
};

/* TYPE_MATCHES: a prototype with an empty flavour behind a pointer, right and wrong. */
struct task_struct___empty {
};
struct rq___empty {
};
typedef void (*btf_trace_sched_process_exit___right)(void *, struct task_struct___empty *, bool);
typedef void (*btf_trace_sched_process_exit___right_old)(void *, struct task_struct___empty *);
typedef void (*btf_trace_sched_process_exit___wrong)(void *, int, int, int, int);
struct list_head___same {
	struct list_head___same *next, *prev;
};
struct list_head___wrong {
	int next;
};

__u64 size_of_task, parent_pid, own_pid, exists_comm, exists_never, exists_type, exists_no_type;
__u64 size_no_type, enum_ringbuf, enum_never, enum_no_type, matches_right, matches_wrong, matches_struct;
__u64 matches_struct_wrong, type_id, local_id, bit_exists, flexible, comm_size, signed_tgid, bits_value;
char comm_copy[16];
const volatile __u32 wanted_thread = 0;

SEC("raw_tp/sys_enter")
int answer(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct___mine *task = (void *)bpf_get_current_task();
	struct sock___bits bits_sample = {};

	if (wanted_thread != (__u32)bpf_get_current_pid_tgid() || ctx->args[1] != 140)
		return 0;
	size_of_task = bpf_core_type_size(struct task_struct___mine);
	own_pid = BPF_CORE_READ(task, tgid);
	parent_pid = BPF_CORE_READ(task, real_parent, tgid);
	bpf_core_read_str(comm_copy, sizeof(comm_copy), &task->comm);
	exists_comm = 2 + bpf_core_field_exists(task->comm);
	exists_never = 2 + bpf_core_field_exists(task->never_there);
	if (bpf_core_field_exists(task->never_there))
		own_pid = (__u64)BPF_CORE_READ(task, never_there);
	comm_size = bpf_core_field_size(task->comm);
	signed_tgid = 2 + __builtin_preserve_field_info(task->tgid, BPF_FIELD_SIGNED);
	exists_type = 2 + bpf_core_type_exists(struct task_struct___mine);
	exists_no_type = 2 + bpf_core_type_exists(struct no_such_struct___x);
	size_no_type = 2 + bpf_core_type_size(struct no_such_struct___x);
	enum_never = 2 + bpf_core_enum_value_exists(enum bpf_func_id___x, BPF_FUNC_never___x);
	enum_no_type = 2 + bpf_core_enum_value_exists(enum no_such_enum___x, NO_SUCH_VALUE___x);
	if (bpf_core_enum_value_exists(enum bpf_func_id___x, BPF_FUNC_ringbuf_output___x))
		enum_ringbuf = bpf_core_enum_value(enum bpf_func_id___x, BPF_FUNC_ringbuf_output___x);
	matches_right = 2 + (bpf_core_type_matches(btf_trace_sched_process_exit___right) ||
			     bpf_core_type_matches(btf_trace_sched_process_exit___right_old));
	matches_wrong = 2 + bpf_core_type_matches(btf_trace_sched_process_exit___wrong);
	matches_struct = 2 + bpf_core_type_matches(struct list_head___same);
	matches_struct_wrong = 2 + bpf_core_type_matches(struct list_head___wrong);
	type_id = bpf_core_type_id_kernel(struct task_struct___mine);
	local_id = bpf_core_type_id_local(struct task_struct___mine);
	bit_exists = 2 + bpf_core_field_exists(bits_sample.sk_no_check_tx);
	return 0;
}

/* A bit-field of the kernel read by shifts; here it sits elsewhere and among others than in the kernel. */
struct signal_struct___flags {
	unsigned long long before;
	unsigned int other : 9;
	unsigned int is_child_subreaper : 1;
} RELOC;

struct task_struct___flags {
	struct signal_struct___flags *signal;
} RELOC;

SEC("raw_tp/sys_exit")
int bits(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct___flags *task = (void *)bpf_get_current_task();
	struct signal_struct___flags *signal;

	if (wanted_thread != (__u32)bpf_get_current_pid_tgid())
		return 0;
	signal = BPF_CORE_READ(task, signal);
	bits_value = 2 + BPF_CORE_READ_BITFIELD_PROBED(signal, is_child_subreaper);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
