// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// Every shape of member and marker that the discovery knows, without a kernel header.
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef __u32 gadget_errno;
typedef __u64 gadget_timestamp;
typedef __u32 gadget_histogram_slot__u32;

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#define MARKER(name) const void *name __attribute__((unused))

enum color { red = 1, blue = 5 };
enum caps_set { cap_a = 1, cap_b = 2 };
enum small { low = -1, high = 1 };

struct inner {
	int left;
	char name[16];
};

struct event {
	gadget_timestamp timestamp_raw;
	struct inner proc;
	union {
		__u32 as_int;
		__u8 as_bytes[4];
	} both;
	struct {
		__u16 hidden_in_anonymous;
	};
	enum color color_raw;
	enum caps_set caps;
	gadget_errno error_raw;
	_Bool yes;
	double ratio;
	__u64 many[3];
	unsigned bits : 3;
	int __private;
	void *pointer;
	char text[8];
};

struct key {
	__u32 dev;
};
struct value {
	gadget_histogram_slot__u32 latency[4];
};

struct {
	__uint(type, 27);
	__uint(max_entries, 4096);
} events SEC(".maps");

struct {
	__uint(type, 1);
	__uint(max_entries, 16);
	__type(key, struct key);
	__type(value, struct value);
} counts SEC(".maps");

const volatile __u16 port = 80;
const volatile _Bool targ_verbose = 1;
const volatile char prefix[6] = "";
const volatile enum small odd = high;
const volatile int targ_pid = 0;

MARKER(gadget_tracer_seen___events___event);
MARKER(gadget_mapiter_counted___counts);
MARKER(gadget_iter_listed___inner___walk);
MARKER(gadget_param_port);
MARKER(gadget_param_targ_verbose);
MARKER(gadget_param_prefix);
MARKER(gadget_param_odd);
MARKER(gadget_param_targ_pid);
struct event *keep_event __attribute__((unused));
struct inner *keep_inner __attribute__((unused));

SEC("iter/task") int walk(void *context)
{
	return port + targ_verbose + prefix[0] + (int)odd + targ_pid + (long)context;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
