// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// Records of every shape a C compiler makes, for golden layouts.
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u64 gadget_timestamp;
typedef __u64 gadget_mntns_id;
typedef __u32 gadget_uid;
typedef __u32 gadget_gid;
typedef __u32 gadget_pid;
typedef __u32 gadget_signal;
typedef char gadget_comm;

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#define MARKER(name) const void *name __attribute__((unused))

enum op { op_read, op_write };
enum wide_set : unsigned long long { wide_low = 1, wide_high = 1ULL << 40 };
enum tiny : __u8 { tiny_a = 200 };
typedef enum op op_alias;

struct bits {
	__u8 low : 3;
	__u8 high : 5;
	int negative : 4;
	enum op op_raw : 2;
	_Bool flag : 1;
	__u64 wide : 40;
	__u32 : 3;
	__u32 whole;
};

struct point {
	int x, y;
};
typedef struct point point_alias;

struct nested {
	struct {
		union {
			__u32 v4;
			struct {
				__u8 first, second;
			};
		};
		struct {
			struct {
				short deepest;
			} named;
		};
	};
	const struct point constant;
	point_alias alias;
	struct point points[2];
	struct point plain;
	struct {
		int __private;
		void *pointer;
	} opaque;
};

struct kinds {
	enum wide_set wide_raw;
	enum tiny tiny_raw;
	op_alias alias_raw;
	_Bool flags[3];
	float single;
	double twice;
	char text[5];
	signed char bytes[2];
	gadget_comm comm[16];
	__u8 matrix[2][3];
	enum op ops[2];
	__u64 empty[0];
	__int128 huge;
	void (*function)(void);
	const volatile __s64 constant;
};

struct gadget_creds {
	gadget_uid uid;
	gadget_gid gid;
};
struct gadget_process {
	gadget_comm comm[16];
	gadget_pid pid;
	struct gadget_creds creds;
};

struct annotated {
	gadget_timestamp timestamp_raw;
	gadget_mntns_id mntns_id;
	struct gadget_process proc;
	gadget_signal signal_raw;
	__u32 len;
};

struct key {
	__u32 dev;
	struct point at;
};
struct value {
	__u64 count;
};
struct clash {
	struct {
		__u32 dev;
	} inner;
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
struct {
	__uint(type, 1);
	__uint(max_entries, 16);
	__type(key, struct key);
	__type(value, struct clash);
} clashing SEC(".maps");
struct {
	__uint(type, 1);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct value);
} by_int SEC(".maps");
struct {
	__uint(type, 1);
	__uint(max_entries, 16);
	__type(key, point_alias);
	__type(value, struct value);
} by_alias SEC(".maps");
struct {
	__uint(type, 5);
	__uint(max_entries, 16);
	__type(key, struct key);
	__type(value, struct value);
} per_cpu SEC(".maps");

MARKER(gadget_tracer_bits___events___bits);
MARKER(gadget_tracer_nested___events___nested);
MARKER(gadget_tracer_kinds___events___kinds);
MARKER(gadget_tracer_annotated___events___annotated);
MARKER(gadget_mapiter_counted___counts);
MARKER(gadget_snapshotter_listed___point___walk___walk_again);
struct bits *keep_bits __attribute__((unused));
struct nested *keep_nested __attribute__((unused));
struct kinds *keep_kinds __attribute__((unused));
struct annotated *keep_annotated __attribute__((unused));
struct point *keep_point __attribute__((unused));

struct bits sample SEC(".rodata.sample") = {
	.low = 5, .high = 17, .negative = -3, .op_raw = op_write, .flag = 1, .wide = 0x123456789aULL, .whole = 7,
};

SEC("iter/task") int walk(void *context)
{
	return (long)context;
}
SEC("iter/task") int walk_again(void *context)
{
	return (long)context;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
