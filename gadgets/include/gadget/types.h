/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Types that userspace recognises by name and renders accordingly. The layouts
 * are an interface between gadget objects and the collector: never change them.
 */
#ifndef GADGET_TYPES_H
#define GADGET_TYPES_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#include <stdbool.h>
#endif

#ifndef TASK_COMM_LEN
#define TASK_COMM_LEN 16
#endif

/* Inode number of the mount namespace; joins a record to its container. */
typedef __u64 gadget_mntns_id;
/* Inode number of the network namespace; the second best way to do that. */
typedef __u32 gadget_netns_id;

/* Nanoseconds since boot: bpf_ktime_get_boot_ns(). */
typedef __u64 gadget_timestamp;
typedef __u64 gadget_duration; /* nanoseconds */
typedef __u64 gadget_bytes;

typedef __u32 gadget_signal; /* SIGxxx number */
typedef __u32 gadget_errno; /* positive errno, 0 for success */
typedef __u64 gadget_syscall; /* number on the host's architecture */
typedef __u32 gadget_file_mode; /* mode_t */
typedef __u32 gadget_file_flags; /* O_xxx bits */

typedef __u32 gadget_uid;
typedef __u32 gadget_gid;
typedef __u32 gadget_pid; /* thread group */
typedef __u32 gadget_tid;
typedef __u32 gadget_ppid;
typedef __u32 gadget_ptid;
typedef char gadget_comm;
typedef char gadget_pcomm;

/* Slot of ig_kstack, see kernel_stack_map.h. */
typedef __u32 gadget_kernel_stack;

/* Metric roles without an annotation; slots are powers of two, see bits.bpf.h. */
typedef __u32 gadget_counter__u32;
typedef __u64 gadget_counter__u64;
typedef __u32 gadget_gauge__u32;
typedef __u64 gadget_gauge__u64;
typedef __u32 gadget_histogram_slot__u32;
typedef __u64 gadget_histogram_slot__u64;

union gadget_ip_addr_t {
	__u8 v6[16];
	unsigned __int128 v6_raw;
	__u32 v4; /* network byte order */
};

/* 32 bytes: the 16-byte integer in the union sets the alignment. */
struct gadget_l3endpoint_t {
	union gadget_ip_addr_t addr_raw;
	__u8 version; /* 4 or 6; anything else makes the record undecodable */
};

struct gadget_l4endpoint_t {
	union gadget_ip_addr_t addr_raw;
	__u16 port; /* host byte order */
	__u16 proto_raw; /* IPPROTO_xxx */
	__u8 version; /* 4 or 6 */
};

struct gadget_creds {
	gadget_uid uid;
	gadget_gid gid;
};

struct gadget_parent {
	gadget_pcomm comm[TASK_COMM_LEN];
	gadget_ppid pid;
	gadget_ptid tid;
};

struct gadget_process {
	gadget_comm comm[TASK_COMM_LEN];
	gadget_pid pid;
	gadget_tid tid;
	gadget_mntns_id mntns_id;
	struct gadget_creds creds;
	struct gadget_parent parent;
};

/* Filled by gadget_get_user_stack(); all zero while collection is off. */
struct gadget_user_stack {
	/* Identity of the executable file. */
	__u32 major;
	__u32 minor;
	__u64 inode;
	__u64 mtime_sec;
	__u32 mtime_nsec;
	/* Tells two mappings of one executable apart (address randomisation). */
	__u32 base_addr_hash;
	/* Slot of ig_ustack and key of ig_build_id. */
	__u32 stack_id;
	/* The task as the host's pid namespace and the next inner one see it. */
	__u32 tgid_level0;
	__u32 pid_level0;
	__u32 pidns_level0;
	__u32 pid_level1;
	__u32 pidns_level1;
	__u64 otel_correlation_id;
	__u64 boot_timestamp;
};

/* Upper bound of the optional path members below. */
#define GADGET_SE_PATH_MAX 4096

/*
 * Owner of a socket, value of the gadget_sockets map. Which members follow
 * optional_fields_start, and how long they are, is decided when the gadget is
 * loaded: test them with bpf_core_field_exists() and bpf_core_field_size().
 */
struct gadget_socket_value {
	__u64 mntns;
	__u64 pid_tgid;
	__u64 uid_gid;
	char task[TASK_COMM_LEN];
	char ptask[TASK_COMM_LEN];
	__u64 sock;
	__u64 deletion_timestamp;
	__u32 ppid;
	__u32 ptid;
	char ipv6only;
	char optional_fields_start[0] __attribute__((aligned(8)));
	char cwd[GADGET_SE_PATH_MAX];
	char exepath[GADGET_SE_PATH_MAX];
} __attribute__((preserve_access_index));

#endif /* GADGET_TYPES_H */
