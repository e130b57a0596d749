/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Capabilities by name, as one of them and as a set. The kernel knows their
 * numbers as macros only, which leave no trace in its types.
 */
#ifndef TRACE_CAPABILITIES_CAPABILITY_H
#define TRACE_CAPABILITIES_CAPABILITY_H

/* In the order of their numbers, from 0. */
#define FOR_EACH_CAPABILITY(F)   \
	F(CAP_CHOWN)             \
	F(CAP_DAC_OVERRIDE)      \
	F(CAP_DAC_READ_SEARCH)   \
	F(CAP_FOWNER)            \
	F(CAP_FSETID)            \
	F(CAP_KILL)              \
	F(CAP_SETGID)            \
	F(CAP_SETUID)            \
	F(CAP_SETPCAP)           \
	F(CAP_LINUX_IMMUTABLE)   \
	F(CAP_NET_BIND_SERVICE)  \
	F(CAP_NET_BROADCAST)     \
	F(CAP_NET_ADMIN)         \
	F(CAP_NET_RAW)           \
	F(CAP_IPC_LOCK)          \
	F(CAP_IPC_OWNER)         \
	F(CAP_SYS_MODULE)        \
	F(CAP_SYS_RAWIO)         \
	F(CAP_SYS_CHROOT)        \
	F(CAP_SYS_PTRACE)        \
	F(CAP_SYS_PACCT)         \
	F(CAP_SYS_ADMIN)         \
	F(CAP_SYS_BOOT)          \
	F(CAP_SYS_NICE)          \
	F(CAP_SYS_RESOURCE)      \
	F(CAP_SYS_TIME)          \
	F(CAP_SYS_TTY_CONFIG)    \
	F(CAP_MKNOD)             \
	F(CAP_LEASE)             \
	F(CAP_AUDIT_WRITE)       \
	F(CAP_AUDIT_CONTROL)     \
	F(CAP_SETFCAP)           \
	F(CAP_MAC_OVERRIDE)      \
	F(CAP_MAC_ADMIN)         \
	F(CAP_SYSLOG)            \
	F(CAP_WAKE_ALARM)        \
	F(CAP_BLOCK_SUSPEND)     \
	F(CAP_AUDIT_READ)        \
	F(CAP_PERFMON)           \
	F(CAP_BPF)               \
	F(CAP_CHECKPOINT_RESTORE)

#define __CAPABILITY(cap) cap,
enum capability { FOR_EACH_CAPABILITY(__CAPABILITY) };

/* "_set" makes the collector list the members. */
#define __CAPABILITY_FLAG(cap) FLAG_##cap = 1ULL << cap,
enum cap_effective_flags_set : __u64 { FOR_EACH_CAPABILITY(__CAPABILITY_FLAG) };

#endif /* TRACE_CAPABILITIES_CAPABILITY_H */
