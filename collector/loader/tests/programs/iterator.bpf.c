// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Iterators over tasks and over the elements of a map.
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

struct record {
	__u32 pid;
	__u32 parent;
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u32);
} numbers SEC(".maps");

SEC("iter/task")
int each_task(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct record record = {};

	if (!task)
		return 0;
	record.pid = task->tgid;
	record.parent = task->real_parent->tgid;
	bpf_core_read_str(record.comm, sizeof(record.comm), &task->comm);
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}

SEC("iter/bpf_map_elem")
int each_number(struct bpf_iter__bpf_map_elem *ctx)
{
	__u32 *value = ctx->value;

	if (!ctx->key || !value)
		return 0;
	bpf_seq_write(ctx->meta->seq, value, sizeof(*value));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
