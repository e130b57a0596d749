#!/usr/bin/env bash
# Linux time namespaces: the machine's boot time in /proc/stat depends on who reads it.
#
# Guess: `btime` is the wall time at which the machine booted. Time namespaces leave the wall clock alone, so every reader sees the
# same number, and adding it to a kernel time stamp since boot (bpf_ktime_get_boot_ns, perf, dmesg) gives the time of day.
# Seen: the reader's own boot-clock offset is taken off `btime` and added to /proc/uptime and to the start time in every
# /proc/PID/stat, init's included. Each file agrees with the others, but none agrees with stamps that the kernel's programs take,
# which know no namespaces: a collector in a container with an offset of days is off by days. Way out: take the offset from
# /proc/self/timens_offsets (or measure against a stamp taken in the kernel), never `btime` alone.
# Versions: Linux 6.18 and any since 5.5 with CONFIG_TIME_NS, util-linux 2.38.1 (`unshare -T`).
# Output seen (offset 1000000 s):
#   btime moved by -1000000, uptime by 1000000, start of pid 1 by 1000000; date moved by 0
set -euo pipefail
offset=1000000
look='
    btime=$(sed -n "s/^btime //p" /proc/stat)
    uptime=$(cut -d. -f1 /proc/uptime)
    start=$(sed "s/.*) //" /proc/1/stat | cut -d" " -f20)
    echo "$btime $uptime $((start / $(getconf CLK_TCK))) $(date +%s)"'
read -r btime uptime start now < <(sh -c "$look")
read -r btime_in uptime_in start_in now_in < <(unshare --time --boottime "$offset" --fork sh -c "$look")
echo "btime moved by $((btime_in - btime)), uptime by $((uptime_in - uptime)), start of pid 1 by $((start_in - start)); date moved by $((now_in - now))"

near() { # value, wanted: two seconds of difference are the time between the two looks
    [ $(($1 - $2)) -ge -2 ] && [ $(($1 - $2)) -le 2 ] || { echo "changed: expected about $2, got $1" >&2; exit 1; }
}
near $((btime_in - btime)) -$offset
near $((uptime_in - uptime)) $offset
near $((start_in - start)) $offset
near $((now_in - now)) 0
echo "still so"
