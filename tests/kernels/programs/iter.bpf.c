/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Iterators over tasks and connections. */
#include "count.h"

struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
} __attribute__((preserve_access_index));
struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	void *task;
} __attribute__((preserve_access_index));
struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	void *sk_common;
} __attribute__((preserve_access_index));
static long (*seq_write)(struct seq_file *, const void *, unsigned) = (void *)127;

SEC("iter/task") int tasks(struct bpf_iter__task *ctx)
{
	char byte = '.';
	if (ctx->task)
		seq_write(ctx->meta->seq, &byte, 1);
	return 0;
}

/* Sockets there may be none of; the last call, without a socket, is always made. */
SEC("iter/tcp") int connections(struct bpf_iter__tcp *ctx)
{
	char byte = ctx->sk_common ? 's' : '.';
	seq_write(ctx->meta->seq, &byte, 1);
	return 0;
}
