/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The record of trace_exec, and how its parts are read from the kernel. */
#ifndef TRACE_EXEC_RECORD_H
#define TRACE_EXEC_RECORD_H

#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <gadget/core_fixes.bpf.h>
#include <gadget/filesystem.h>
#include <gadget/types.h>

#define OVERLAYFS_SUPER_MAGIC 0x794c7630
#define MINOR_BITS 20
#define MINOR_MASK ((1U << MINOR_BITS) - 1)
#define NO_LOGINUID 0xffffffff

#define ARG_SIZE 256
#define MAX_ARGS 20
#define ARGS_SIZE (ARG_SIZE * MAX_ARGS)

struct event {
	gadget_timestamp timestamp_raw;
	struct gadget_process proc;

	gadget_uid loginuid;
	__u32 sessionid;
	gadget_errno error_raw;
	int args_count;
	int tty;
	unsigned int tty_major;
	unsigned int tty_minor;
	bool from_rootfs;
	bool file_from_rootfs;
	bool upper_layer;
	bool fupper_layer;
	bool pupper_layer;
	unsigned int args_size;
	char cwd[GADGET_PATH_MAX];
	char file[GADGET_PATH_MAX];
	unsigned int dev_major;
	unsigned int dev_minor;
	unsigned long inode;
	__u64 ctime;
	__u64 fctime;
	__u64 pctime;
	char exepath[GADGET_PATH_MAX];
	char parent_exepath[GADGET_PATH_MAX];
	/* Last, so that only the part in use is sent. */
	char args[ARGS_SIZE];
};

/* Where records are put together: one for each program that does so. */
enum scratch_user { ON_SUCCESS, ON_FAILURE, SCRATCH_USERS };

struct scratch_record {
	struct event event;
	__u64 slack; /* the verifier's bound on args counts bytes, not words */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCH_USERS);
	__type(key, __u32);
	__type(value, struct scratch_record);
} scratch SEC(".maps");

/* Only kernels with CONFIG_AUDIT have these. */
struct task_struct___audit {
	kuid_t loginuid;
	unsigned int sessionid;
} __attribute__((preserve_access_index));

/* Declared inside the overlay file system; its BTF may be a module's. */
struct ovl_inode___x {
	struct inode vfs_inode;
	struct dentry *__upperdentry;
} __attribute__((preserve_access_index));

static __always_inline void read_audit(struct event *event, struct task_struct *task)
{
	struct task_struct___audit *t = (void *)task;

	event->loginuid = NO_LOGINUID;
	event->sessionid = 0;
	if (bpf_core_field_exists(t->loginuid))
		event->loginuid = BPF_CORE_READ(t, loginuid.val);
	if (bpf_core_field_exists(t->sessionid))
		event->sessionid = BPF_CORE_READ(t, sessionid);
}

/* The controlling terminal; 0:0 if there is none. */
static __always_inline void read_tty(struct event *event, struct task_struct *task)
{
	struct tty_struct *tty = BPF_CORE_READ(task, signal, tty);

	event->tty = 0;
	event->tty_major = 0;
	event->tty_minor = 0;
	if (!tty)
		return;
	event->tty = BPF_CORE_READ(tty, index);
	event->tty_major = BPF_CORE_READ(tty, driver, major);
	event->tty_minor = BPF_CORE_READ(tty, driver, minor_start) + event->tty;
}

/* Has the file been written to since its container started? */
static __always_inline bool in_upper_layer(struct inode *inode)
{
	struct dentry *upper = 0;
	__u64 offset;

	if (BPF_CORE_READ(inode, i_sb, s_magic) != OVERLAYFS_SUPER_MAGIC)
		return false;
	/* The overlay's own part of an inode follows the general one. */
	if (bpf_core_field_exists(struct ovl_inode___x, __upperdentry))
		offset = bpf_core_field_offset(struct ovl_inode___x, __upperdentry) -
			 bpf_core_field_offset(struct ovl_inode___x, vfs_inode);
	else
		offset = bpf_core_type_size(struct inode);
	bpf_probe_read_kernel(&upper, sizeof(upper), (void *)inode + offset);
	return upper != 0;
}

/* Is the file on the mount that the task has as its root directory? */
static __always_inline bool on_root_mount(struct task_struct *task, struct file *file)
{
	return BPF_CORE_READ(task, fs, root.mnt) == BPF_CORE_READ(file, f_path.mnt);
}

static __always_inline void read_path(char *to, const struct path *path)
{
	void *text = get_path_str(path);

	if (!text || bpf_probe_read_kernel_str(to, GADGET_PATH_MAX, text) < 0)
		to[0] = '\0';
}

static __always_inline void read_exe_path(char *to, struct file *exe)
{
	if (exe)
		read_path(to, &exe->f_path);
	else
		to[0] = '\0';
}

static __always_inline void read_cwd(struct event *event, struct task_struct *task)
{
	struct fs_struct *fs = BPF_CORE_READ(task, fs);

	read_path(event->cwd, &fs->pwd);
}

#endif /* TRACE_EXEC_RECORD_H */
