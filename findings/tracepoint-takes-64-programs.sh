#!/usr/bin/env bash
# Linux: a classic tracepoint takes 64 eBPF programs, those of all tools on the machine together; a raw one takes as many as come.
#
# Guess: programs at a tracepoint are a list, so their number is bounded by memory, and two tools never meet there. "Argument list
# too long" from attaching would be about the program or the attributes of the call.
# Seen: the 65th program of type `tracepoint` is refused with E2BIG, though each has a perf event of its own: all events of one
# tracepoint share one list. (One program cannot be there twice: EEXIST.) Raw tracepoints at the same place go on: 200 here. So a collector
# that attaches a program for each of many users or policies meets it, and may be the reason why another tool fails. Way out: raw
# tracepoints (or `tp_btf`), or one program for all; and take E2BIG at this step as "full", which may pass.
# Versions: Linux 6.18 (BPF_TRACE_MAX_PROGS in kernel/trace/bpf_trace.c).
# Output seen:
#   classic tracepoint: 64 programs, then Argument list too long
#   raw tracepoint: 200 programs, none refused
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat > many.c <<'C'
#define _GNU_SOURCE
#include <errno.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Loads `return 0` as a program of some type. */
static int load(unsigned int type)
{
	struct bpf_insn code[] = { { .code = BPF_ALU64 | BPF_MOV | BPF_K }, { .code = BPF_JMP | BPF_EXIT } };
	union bpf_attr attr = { .prog_type = type, .insn_cnt = 2, .insns = (unsigned long)code,
				.license = (unsigned long)"GPL" };
	int program = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	if (program < 0) {
		perror("load");
		exit(2);
	}
	return program;
}

int main(int count, char **arguments)
{
	int classic, raw, error = 0;
	for (classic = 0; classic < 200; classic++) {
		struct perf_event_attr event = { .type = PERF_TYPE_TRACEPOINT, .size = sizeof(event),
						 .config = atoi(arguments[1]) };
		int fd = syscall(SYS_perf_event_open, &event, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
		if (fd < 0 || ioctl(fd, PERF_EVENT_IOC_SET_BPF, load(BPF_PROG_TYPE_TRACEPOINT)) != 0) {
			error = errno;
			break;
		}
	}
	printf("classic tracepoint: %d programs, then %s\n", classic, strerror(error));
	for (raw = 0; raw < 200; raw++) {
		union bpf_attr attr = { .raw_tracepoint = { .name = (unsigned long)"sched_process_hang",
							    .prog_fd = load(BPF_PROG_TYPE_RAW_TRACEPOINT) } };
		if (syscall(SYS_bpf, BPF_RAW_TRACEPOINT_OPEN, &attr, sizeof(attr)) < 0)
			break;
	}
	printf("raw tracepoint: %d programs, %s\n", raw, raw == 200 ? "none refused" : strerror(errno));
	return !(count == 2 && classic == 64 && error == E2BIG && raw == 200);
}
C
gcc -O2 -Wall -o many many.c
# shellcheck disable=SC2016
unshare --mount sh -c 'mount -t tracefs none /mnt && exec ./many "$(cat /mnt/events/sched/sched_process_hang/id)"' || {
    echo "changed: expected 64 classic programs and 200 raw ones" >&2
    exit 1
}
echo "still so"
