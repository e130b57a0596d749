/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The gadget that the corpus begins with: small, and with a marker of every kind. Made into a seed by seeds.sh. */
#define SEC(name) __attribute__((section(name), used))
#define MARK(id) const void *id __attribute__((unused));
#define KEEP(name, type) const struct type *name __attribute__((unused));

typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef __u64 gadget_timestamp;
typedef __u64 gadget_mntns_id;
typedef __u32 gadget_errno;

char _license[] SEC("license") = "GPL";

enum kind { made, gone };
enum flags_set { first = 1, second = 2 };

struct process {
	char comm[16];
	__u32 pid;
	struct {
		__u32 uid;
	} creds;
};

struct event {
	gadget_timestamp timestamp_raw;
	struct process proc;
	union {
		unsigned char v6[16];
		__u32 v4;
	} addr;
	enum kind kind_raw;
	enum flags_set flags_raw;
	gadget_errno error_raw;
	float share;
	short numbers[4];
	_Bool done;
	unsigned char tail[];
};

struct key {
	__u32 cpu;
};

struct value {
	__u64 slots[27];
};

struct {
	int (*type)[27];
	int (*max_entries)[4096];
} events SEC(".maps");

struct {
	int (*type)[1];
	int (*max_entries)[64];
	struct key *key;
	struct value *value;
} totals SEC(".maps");

const volatile int wanted_pid;
const volatile _Bool only_errors;
const volatile char name[16];

MARK(gadget_tracer_things___events___event)
KEEP(unusedevent_things___event, event)
MARK(gadget_mapiter_totals___totals)
MARK(gadget_iter_all___event___each)
MARK(gadget_param_wanted_pid)
MARK(gadget_param_only_errors)
MARK(gadget_param_name)

SEC("raw_tp/sys_enter") int traced(void *ctx)
{
	return wanted_pid + only_errors + name[0];
}

SEC("iter/task") int each(void *ctx)
{
	return 0;
}
