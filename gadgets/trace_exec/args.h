/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Arguments of a program, as one line: separated by spaces. */
#ifndef TRACE_EXEC_ARGS_H
#define TRACE_EXEC_ARGS_H

#include "record.h"

#define EACH_BYTE(b) (0x0101010101010101ULL * (b))

_Static_assert(offsetof(struct event, args) % sizeof(__u64) == 0, "read as words");
_Static_assert(ARGS_SIZE % sizeof(__u64) == 0, "read as words");

/* Turns each NUL in a word into a space; returns 0x80 in the bytes concerned. */
static __always_inline __u64 nuls_to_spaces(__u64 *word)
{
	__u64 low = EACH_BYTE(0x7f);
	__u64 nuls = ~(((*word & low) + low) | *word | low);

	*word |= nuls >> 2;
	return nuls;
}

static __always_inline int count_bytes(__u64 nuls)
{
	return ((nuls >> 7) * EACH_BYTE(1)) >> 56;
}

/*
 * Turns the NUL after each argument but the last into a space. The first "size"
 * bytes are in use; the last of them becomes the end of the line.
 *
 * Eight bytes are looked at in one step without a branch, and the function is
 * global, which means verified for itself and only once: otherwise the verifier
 * would follow the loop anew for each state in which the caller can be. A global
 * function can take only numbers on older kernels, so it looks the record up.
 */
__attribute__((noinline)) int join_args(__u32 user, __u32 size)
{
	struct event *event = bpf_map_lookup_elem(&scratch, &user);
	__u64 full, last;
	__u64 *words;
	int count = 0;

	if (!event || size == 0 || size > ARGS_SIZE)
		return 0;
	words = (__u64 *)event->args;
	event->args_size = size;
	full = size / sizeof(__u64);
	for (__u64 i = 0; i < ARGS_SIZE / sizeof(__u64); i++) {
		if (i >= full)
			break;
		count += count_bytes(nuls_to_spaces(&words[i]));
	}

	/* Read again: the verifier need not carry each way out of the loop on. */
	last = *(volatile unsigned int *)&event->args_size - 1;
	barrier_var(last);
	if (last >= ARGS_SIZE)
		return 0;
	full = (last + 1) / sizeof(__u64);
	if (full < ARGS_SIZE / sizeof(__u64))
		count += count_bytes(nuls_to_spaces(&words[full]) &
				     ((1ULL << (last + 1) % sizeof(__u64) * 8) - 1));
	/* The end of an argument that was cut off has not been counted. */
	if (event->args[last] != ' ')
		count++;
	event->args[last] = '\0';
	event->args_count = count;
	return 0;
}

static __always_inline void no_args(struct event *event)
{
	event->args[0] = '\0';
	event->args_size = 1;
	event->args_count = 0;
}

/* After success they lie at the top of the new stack, one after the other. */
static __always_inline void read_new_args(struct event *event, __u32 user,
					  struct task_struct *task)
{
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	__u64 start = BPF_CORE_READ(mm, arg_start);
	__u64 size = BPF_CORE_READ(mm, arg_end) - start;

	no_args(event);
	if (size == 0)
		return;
	if (size > ARGS_SIZE)
		size = ARGS_SIZE;
	if (bpf_probe_read_user(event->args, size, (void *)start) == 0)
		join_args(user, size);
}

/* After failure they are where the caller has put them. */
static __always_inline void read_old_args(struct event *event, __u32 user,
					  __u64 argv)
{
	__u64 arg = 0;
	__u32 end = 0;
	long len;

	no_args(event);
	for (int i = 0; i < MAX_ARGS; i++) {
		if (bpf_probe_read_user(&arg, sizeof(arg), (void *)(argv + i * 8)) || !arg)
			break;
		if (end > ARGS_SIZE - ARG_SIZE)
			break;
		len = bpf_probe_read_user_str(&event->args[end], ARG_SIZE, (void *)arg);
		if (len <= 0)
			break;
		end += len & (ARG_SIZE * 2 - 1);
	}
	join_args(user, end);
}

#endif /* TRACE_EXEC_ARGS_H */
