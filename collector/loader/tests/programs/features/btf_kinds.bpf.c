// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// enums of 64 bits, floats, tags, 16-byte integers
#include "feature.h"

enum wide {
	SMALL = 1,
	LARGE = 0x123456789abcdef0ULL,
} enumeration = LARGE;

struct tagged {
	int plain __attribute__((btf_decl_tag("decl")));
	int __attribute__((btf_type_tag("type"))) *pointer;
	float single;
	double twice;
	__int128 huge;
	_Bool yes;
	union {
		int a;
		char b[3];
	};
	int bits : 5;
	int more : 11;
} tagged;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, struct tagged);
} map SEC(".maps");

RUN
{
	tagged.more = 3;
	out[0] = enumeration;
	out[1] = sizeof(tagged);
	return 0;
}
