/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The processes that exist, or all their threads. */
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <gadget/filter.h>
#include <gadget/macros.h>
#include <gadget/types.h>

const volatile bool show_threads = false;
GADGET_PARAM(show_threads);

GADGET_ITER(processes, gadget_process, ig_snap_proc);

SEC("iter/task")
int ig_snap_proc(struct bpf_iter__task *ctx)
{
	struct gadget_process process = {};
	struct task_struct *task = ctx->task;
	struct task_struct *parent;

	/* The end of the walk is told by a call without a task. */
	if (!task)
		return 0;

	process.pid = task->tgid;
	process.tid = task->pid;
	if (!show_threads && process.pid != process.tid)
		return 0;

	process.mntns_id = BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);
	process.creds.uid = BPF_CORE_READ(task, cred, uid.val);
	process.creds.gid = BPF_CORE_READ(task, cred, gid.val);
	BPF_CORE_READ_STR_INTO(&process.comm, task, comm);

	if (gadget_should_discard_data(process.mntns_id, process.pid, process.tid,
				       process.comm, process.creds.uid,
				       process.creds.gid))
		return 0;

	parent = task->real_parent;
	process.parent.pid = BPF_CORE_READ(parent, tgid);
	process.parent.tid = BPF_CORE_READ(parent, pid);
	BPF_CORE_READ_STR_INTO(&process.parent.comm, parent, comm);

	bpf_seq_write(ctx->meta->seq, &process, sizeof(process));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
