/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Path names of files, as the mount namespace they are mounted in shows them.
 *
 * A path is assembled from its last component to its first, so it grows from
 * the middle of a per-CPU buffer towards its start. The upper half stays unused
 * and lets the verifier see that no component can leave the buffer.
 */
#ifndef GADGET_FILESYSTEM_H
#define GADGET_FILESYSTEM_H

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* Room for a path in a record: long enough in practice, cheap to reserve. */
#define GADGET_PATH_MAX 512
#ifndef PATH_MAX
#define PATH_MAX 4096
#endif

#define MAX_PERCPU_BUFSIZE (1 << 15)
#define MAX_PATH_COMPONENTS 80
#define __GADGET_PATH_END (MAX_PERCPU_BUFSIZE / 2)
#define __GADGET_NAME_MAX 255

typedef struct simple_buf {
	u8 buf[MAX_PERCPU_BUFSIZE];
} buf_t;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, buf_t);
} bufs SEC(".maps");

static __always_inline buf_t *get_buf(int idx)
{
	return bpf_map_lookup_elem(&bufs, &idx);
}

static __always_inline struct dentry *
get_mnt_root_ptr_from_vfsmnt(struct vfsmount *vfsmnt)
{
	return BPF_CORE_READ(vfsmnt, mnt_root);
}

static __always_inline struct dentry *
get_d_parent_ptr_from_dentry(struct dentry *dentry)
{
	return BPF_CORE_READ(dentry, d_parent);
}

static __always_inline struct qstr get_d_name_from_dentry(struct dentry *dentry)
{
	return BPF_CORE_READ(dentry, d_name);
}

/* The mount that embeds "mnt". */
static __always_inline struct mount *real_mount(struct vfsmount *mnt)
{
	return (struct mount *)((void *)mnt -
				__builtin_preserve_field_info(
					((struct mount *)0)->mnt,
					BPF_FIELD_BYTE_OFFSET));
}

/*
 * Where the path begins at the moment. It is kept in the unused half of the buffer
 * because the verifier forgets what it knew about a value in memory: with the
 * position in a register it would follow each combination of name lengths.
 */
static __always_inline volatile u32 *__gadget_path_pos(buf_t *buf)
{
	return (volatile u32 *)&buf->buf[MAX_PERCPU_BUFSIZE - sizeof(u32)];
}

/* Puts a name in front of the path. False if it cannot be read or is too long. */
static __always_inline bool __gadget_path_prepend(buf_t *buf, struct qstr name,
						  bool slash)
{
	u32 len = name.len & __GADGET_NAME_MAX;
	u32 pos = *__gadget_path_pos(buf);
	u32 start = pos - len - 1;

	if (len == 0 || start >= pos)
		return false;

	start &= __GADGET_PATH_END - 1;
	if (bpf_probe_read_kernel(&buf->buf[start + 1], len, name.name))
		return false;
	buf->buf[start] = '/';
	*__gadget_path_pos(buf) = slash ? start : start + 1;
	return true;
}

/*
 * Writes the path of "dentry" on "mnt" into the buffer; returns where it begins.
 * A global function, so that it is verified once, however often it is called.
 */
__attribute__((noinline)) int gadget_walk_path(__u64 dentry_addr, __u64 mnt_addr)
{
	struct dentry *dentry = (struct dentry *)dentry_addr;
	struct mount *mnt = (struct mount *)mnt_addr;
	buf_t *buf = get_buf(0);
	struct qstr name;
	u8 first = 0;

	if (!buf)
		return 0;
	*__gadget_path_pos(buf) = __GADGET_PATH_END - 1;
	buf->buf[__GADGET_PATH_END - 1] = '\0';

	for (int i = 0; i < MAX_PATH_COMPONENTS; i++) {
		struct dentry *parent = BPF_CORE_READ(dentry, d_parent);

		if (dentry == BPF_CORE_READ(mnt, mnt.mnt_root)) {
			struct mount *above = BPF_CORE_READ(mnt, mnt_parent);

			if (above == mnt)
				break;
			dentry = BPF_CORE_READ(mnt, mnt_mountpoint);
			mnt = above;
			continue;
		}
		/* The root of a file system that is mounted nowhere. */
		if (dentry == parent)
			break;
		if (!__gadget_path_prepend(buf, BPF_CORE_READ(dentry, d_name), true))
			break;
		dentry = parent;
	}

	if (*__gadget_path_pos(buf) == __GADGET_PATH_END - 1) {
		/*
		 * Nothing was put there: the root directory of all, or a pipe,
		 * socket or the like, which carry at most a name.
		 */
		name = BPF_CORE_READ(dentry, d_name);
		bpf_probe_read_kernel(&first, sizeof(first), name.name);
		if (first == '/' || !__gadget_path_prepend(buf, name, false)) {
			buf->buf[__GADGET_PATH_END - 2] = '/';
			*__gadget_path_pos(buf) = __GADGET_PATH_END - 2;
		}
	}
	return *__gadget_path_pos(buf);
}

/*
 * Absolute path of "path": a NUL-terminated string in a per-CPU buffer that the
 * next call overwrites, or NULL. At most MAX_PATH_COMPONENTS components; a
 * longer path loses its first ones.
 */
static __always_inline void *get_path_str(const struct path *path)
{
	struct dentry *dentry = BPF_CORE_READ(path, dentry);
	struct vfsmount *vfsmnt = BPF_CORE_READ(path, mnt);
	u32 pos = gadget_walk_path((__u64)dentry, (__u64)real_mount(vfsmnt));
	buf_t *buf = get_buf(0);

	if (!buf)
		return 0;
	return &buf->buf[pos & (__GADGET_PATH_END - 1)];
}

/* The file behind a descriptor of the current task, or NULL. */
static __always_inline struct file *get_struct_file_for_fd(int fd_num)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct fdtable *fdt = BPF_CORE_READ(task, files, fdt);
	struct file **slots = BPF_CORE_READ(fdt, fd);
	struct file *file = 0;

	if (fd_num < 0 || (u32)fd_num >= BPF_CORE_READ(fdt, max_fds))
		return 0;
	if (bpf_probe_read_kernel(&file, sizeof(file), &slots[fd_num]))
		return 0;
	return file;
}

/* Length of the path with its NUL, or negative if there is no such file. */
static __always_inline long read_full_path_of_open_file_fd(int fd_num, char *buf,
							   u64 buf_len)
{
	struct file *file = get_struct_file_for_fd(fd_num);
	void *path;

	if (!file)
		return -1;
	path = get_path_str(&file->f_path);
	if (!path)
		return -1;
	return bpf_probe_read_kernel_str(buf, buf_len, path);
}

#endif /* GADGET_FILESYSTEM_H */
