// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// A map whose values are smaller at run time than declared; where their fields are is told by types given at load.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct value {
	__u64 fixed;
	char first[4096];
	char second[4096];
} __attribute__((preserve_access_index));

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, struct value);
} values SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} declared SEC(".maps");

const volatile __u32 wanted_thread = 0;
char found[8] = {};

SEC("tracepoint/syscalls/sys_enter_getpriority")
int reads(void *ctx)
{
	__u32 key = 7;
	struct value *value;

	if (wanted_thread != (__u32)bpf_get_current_pid_tgid())
		return 0;
	value = bpf_map_lookup_elem(&values, &key);
	if (value)
		bpf_probe_read_kernel(found, sizeof(found), value->second);
	bpf_map_delete_elem(&declared, &key);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
