// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// CO-RE: enumeration values
#include "feature.h"

enum bpf_func_id___x {
	BPF_FUNC_ringbuf_output___x = 7,
	BPF_FUNC_never___x = 8,
};
enum no_such_enum___x {
	NO_SUCH_VALUE___x = 1,
};

RUN
{
	out[0] = bpf_core_enum_value_exists(enum bpf_func_id___x, BPF_FUNC_ringbuf_output___x);
	out[1] = bpf_core_enum_value_exists(enum bpf_func_id___x, BPF_FUNC_never___x);
	out[2] = bpf_core_enum_value_exists(enum no_such_enum___x, NO_SUCH_VALUE___x);
	out[3] = bpf_core_enum_value(enum bpf_func_id___x, BPF_FUNC_ringbuf_output___x);
	if (bpf_core_enum_value_exists(enum bpf_func_id___x, BPF_FUNC_never___x))
		out[4] = bpf_core_enum_value(enum bpf_func_id___x, BPF_FUNC_never___x);
	return 0;
}
