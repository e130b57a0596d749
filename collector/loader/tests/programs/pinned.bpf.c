// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Maps that are shared by name: one always, one where an option is on.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} ig_test_always SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} ig_test_option SEC(".maps");

const volatile bool with_option = false;
const void *gadget_pin_if_ig_test_option___with_option __attribute__((unused));

__u64 found = 0;

SEC("tracepoint/syscalls/sys_enter_getpriority")
int looks(void *ctx)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&ig_test_always, &key);

	if (with_option)
		value = bpf_map_lookup_elem(&ig_test_option, &key);
	if (value)
		found = *value;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
