#!/bin/sh
# What is asked of each gadget inside the VM: a metric, the event that makes it grow, and what the page must show.
# Sourced by guest.sh with busybox's shell, and by run.sh, which refuses gadgets that are not listed here.
#   metric_NAME    an entry of `metrics:`
#   params_NAME    entries of `params:`, if it needs any
#   expect_NAME    patterns, one a line, each of which must be in /metrics
#   provoke_NAME   the event; called again until the patterns are there

metric_trace_exec='{name: seen_exec, type: counter, labels: [proc.comm]}'
expect_trace_exec='^seen_exec_total{.*proc_comm="ig-probe".*} [1-9]'
provoke_trace_exec() { cp -f /bin/busybox /tmp/ig-probe; /tmp/ig-probe true; } >/dev/null 2>&1

metric_trace_open='{name: seen_open, type: counter, labels: [fname, error]}'
expect_trace_open='^seen_open_total{.*fname="/tmp/ig-open".*} [1-9]
^seen_open_total{.*fname="/tmp/ig-absent".*} [1-9]'
provoke_trace_open() { touch /tmp/ig-open; cat /tmp/ig-open /tmp/ig-absent; } >/dev/null 2>&1

metric_trace_signal='{name: seen_signal, type: counter, labels: [sig]}'
expect_trace_signal='^seen_signal_total{.*sig="SIGUSR1".*} [1-9]'
provoke_trace_signal() { sleep 60 & kill -USR1 $!; wait $!; } >/dev/null 2>&1

metric_trace_tcp='{name: seen_tcp, type: counter, labels: [type]}'
expect_trace_tcp='^seen_tcp_total{.*type="connect".*} [1-9]
^seen_tcp_total{.*type="accept".*} [1-9]
^seen_tcp_total{.*type="close".*} [1-9]'
# The request for the page is a connection already.
provoke_trace_tcp() { :; }

metric_trace_oomkill='{name: seen_oomkill, type: counter, labels: [tcomm]}'
expect_trace_oomkill='^seen_oomkill_total{.*tcomm="tail".*} [1-9]'
provoke_trace_oomkill() {
    mkdir -p /sys/fs/cgroup/tight
    echo 4194304 > /sys/fs/cgroup/tight/memory.max
    sh -c 'echo $$ > /sys/fs/cgroup/tight/cgroup.procs; exec tail /dev/zero'
} >/dev/null 2>&1

metric_profile_blockio='{name: seen_blockio, type: histogram, field: latency, unit: s, scale: 1e-6, labels: [op]}'
expect_profile_blockio='^seen_blockio_seconds_count{.*op="write".*} [1-9]'
provoke_profile_blockio() { dd if=/dev/zero of=/dev/vda bs=4096 count=16 conv=fsync; } >/dev/null 2>&1

metric_snapshot_process='{name: seen_process, type: gauge, labels: [comm]}'
expect_snapshot_process='^seen_process{.*comm="ig".*} [1-9]'
provoke_snapshot_process() { :; }

metric_snapshot_socket='{name: seen_socket, type: gauge, labels: [state]}'
expect_snapshot_socket='^seen_socket{.*state="LISTEN".*} [1-9]'
provoke_snapshot_socket() { :; }

metric_tcpdump='{name: seen_packet, type: counter, labels: [packet_type]}'
expect_tcpdump='^seen_packet_total{.*packet_type="1".*} [1-9]'
# The request for the page goes over loopback, where packets are shown as they come in.
provoke_tcpdump() { :; }

metric_profile_cpu='{name: seen_cpu, type: counter, field: samples, labels: [proc.comm]}'
expect_profile_cpu='^seen_cpu_total{.*proc_comm="dd".*} [1-9]'
# On a CPU that was offline meanwhile, where there is one that can be.
provoke_profile_cpu() {
    online=/sys/devices/system/cpu/cpu1/online
    [ -e "$online" ] || { timeout 1 dd if=/dev/zero of=/dev/null bs=1048576; return; }
    echo 0 > "$online"; sleep 2; echo 1 > "$online"; sleep 2
    taskset 2 timeout 1 dd if=/dev/zero of=/dev/null bs=1048576
} >/dev/null 2>&1

# Every call of malloc in the machine would be a record.
params_trace_malloc='comm: ig-malloc'
metric_trace_malloc='{name: seen_malloc, type: counter, labels: [operation]}'
expect_trace_malloc='^seen_malloc_total{.*operation="malloc".*} [1-9]
^seen_malloc_total{.*operation="free".*} [1-9]'
# A program of the C library; that it gets nothing to attach does not matter.
provoke_trace_malloc() { cp -f /test/ig-attach /tmp/ig-malloc; /tmp/ig-malloc /none; } >/dev/null 2>&1

params_trace_capabilities='audit-only: "true"'
metric_trace_capabilities='{name: seen_cap, type: counter, labels: [cap, capable, syscall, audit]}'
expect_trace_capabilities='^seen_cap_total{cap="CAP_SYS_CHROOT",capable="true",syscall="SYS_CHROOT",audit="1".*} [1-9]'
provoke_trace_capabilities() { chroot / true; } >/dev/null 2>&1

metric_top_tcp='{name: top_sent, type: counter, field: sent, labels: [comm]}, {name: top_received, type: counter, field: received, labels: [comm]}'
expect_top_tcp='^top_sent_total{.*comm="wget".*} [1-9]
^top_received_total{.*comm="wget".*} [1-9]'
# The request for the page is traffic already.
provoke_top_tcp() { :; }

metric_top_process='{name: seen_top, type: gauge, field: cpuUsage, labels: [comm]}'
expect_top_process='^seen_top{.*comm="dd".*} [1-9]'
provoke_top_process() { timeout 3 dd if=/dev/zero of=/dev/null & } >/dev/null 2>&1

metric_top_cpu_throttle='{name: seen_throttled, type: counter, field: nrThrottled, labels: [cgroupPath]}'
expect_top_cpu_throttle='^seen_throttled_total{.*cgroupPath="/slow".*} [1-9]'
provoke_top_cpu_throttle() {
    mkdir -p /sys/fs/cgroup/slow
    echo 1000 20000 > /sys/fs/cgroup/slow/cpu.max
    sh -c 'echo $$ > /sys/fs/cgroup/slow/cgroup.procs; exec timeout 1 dd if=/dev/zero of=/dev/null'
} >/dev/null 2>&1

metric_bpfstats='{name: seen_runs, type: counter, field: runcount, labels: [gadgetName]}'
expect_bpfstats='^seen_runs_total{.*gadgetName="trace_open".*} [1-9]'
# The collector and everything around it open files.
provoke_bpfstats() { :; }
