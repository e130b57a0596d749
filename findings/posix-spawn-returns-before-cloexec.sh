#!/usr/bin/env bash
# Linux, glibc: posix_spawn() has returned, and the child still holds every close-on-exec descriptor of its parent.
#
# Guess: posix_spawn returns when the child has executed its program, and close-on-exec descriptors end there. So a single-threaded
# process that starts a program and then closes a descriptor has closed it, and what hangs on the last close has happened: a lock by
# flock(2) is free, a connection is at its end, an eBPF link is detached.
# Seen: execve() gives the parent's memory back, which wakes the parent, before it closes the descriptors. The parent runs on,
# closes its own copy, and for a moment the child's copy is the last one. Beside threads that start programs the moment is longer.
# Way out: end what matters by name instead of by the last close (flock(LOCK_UN) frees a lock for all copies), and let tests wait
# for the effect of a close.
# Versions: Linux 6.18 (`exec_mmap` comes before `do_close_on_exec` in fs/exec.c), Debian's glibc 2.36, gcc 12.2.
# Output seen:
#   of 5000 locks closed after posix_spawn, 14 were still held; of 5000 unlocked by name, 0
#   (the first number depends on the machine; it was never 0)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat > spawn.c <<'C'
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int held(int unlock)
{
	int count = 0;
	for (int turn = 0; turn < 5000; turn++) {
		char *arguments[] = { "true", NULL };
		int ours = open("lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (ours < 0 || flock(ours, LOCK_EX) != 0)
			return -1;
		pid_t child;
		if (posix_spawn(&child, "/bin/true", NULL, NULL, arguments, environ) != 0)
			return -1;
		if (unlock)
			flock(ours, LOCK_UN);
		close(ours);
		int again = open("lock", O_RDWR | O_CLOEXEC);
		count += flock(again, LOCK_EX | LOCK_NB) != 0;
		close(again);
		waitpid(child, NULL, 0);
	}
	return count;
}

int main(void)
{
	int closed = held(0), unlocked = held(1);
	printf("of 5000 locks closed after posix_spawn, %d were still held; of 5000 unlocked by name, %d\n", closed, unlocked);
	return !(closed > 0 && unlocked == 0);
}
C
gcc -O2 -Wall -o spawn spawn.c
./spawn || { echo "changed: expected some of the first and none of the second" >&2; exit 1; }
echo "still so"
