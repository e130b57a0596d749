#!/bin/sh
# /test/run of the VM: programs of every kind, then every gadget of the repository with an event of its own.
# A line a finding: kind, name, ok or failed, why; separated by tabs. What is not such a line is for people.
tab=$(printf '\t')
. /test/gadgets.sh

/test/ig-attach /test/programs/*.o | while IFS=$tab read -r object program word why; do
    printf 'program\t%s/%s\t%s\t%s\n' "$object" "$program" "$word" "$why"
done

# Kernel probes once more without the PMU that they go through by default.
mount -t tmpfs none /sys/bus/event_source/devices
cp /test/programs/kprobe.o /tmp/kprobe_events.o
/test/ig-attach /tmp/kprobe_events.o | while IFS=$tab read -r object program word why; do
    printf 'program\t%s/%s\t%s\t%s\n' "$object" "$program" "$word" "$why"
done
left=$(cat /sys/kernel/tracing/kprobe_events)
[ -z "$left" ] && printf 'program\tkprobe_events/all_removed\tok\t\n' ||
    printf 'program\tkprobe_events/all_removed\tfailed\tleft behind: %s\n' "$(echo "$left" | head -1)"
umount /sys/bus/event_source/devices

# The loader beside libbpf, where the caller wants the table.
if [ -e /test/matrix ]; then
    MATRIX_OBJECTS=/test/objects MATRIX_ROWS=/tmp/rows /test/matrix > /tmp/matrix.log 2>&1 ||
        { printf 'program\tmatrix/agrees\tfailed\tsee its log\n'; tail -c 20000 /tmp/matrix.log; }
    printf 'column\t%s\n' "$(uname -r)"
    sed "s/^/row$tab/" /tmp/rows
    echo "uptime after the matrix: $(cut -d' ' -f1 /proc/uptime)"
fi

/test/ig run --store /test/store -f /test/config.yaml > /tmp/ig.log 2>&1 &
collector=$!
# Emulated, all gadgets together take a while to load.
patience=90
while [ $patience -gt 0 ] && kill -0 $collector 2>/dev/null; do
    wget -q -O /tmp/ready http://127.0.0.1:2224/readyz 2>/dev/null && break
    patience=$((patience - 1)); sleep 1
done
gadgets=$(cat /test/gadgets)
missing=$gadgets
rounds=10
while [ $rounds -gt 0 ] && [ -n "$missing" ]; do
    for gadget in $missing; do "provoke_$gadget"; done
    sleep 1
    wget -q -O /tmp/page http://127.0.0.1:2224/metrics || : > /tmp/page
    still=
    for gadget in $missing; do
        eval "patterns=\$expect_$gadget"
        echo "$patterns" > /tmp/patterns
        while read -r pattern; do
            grep -q "$pattern" /tmp/page || { still="$still $gadget"; break; }
        done < /tmp/patterns
    done
    missing=$still
    rounds=$((rounds - 1))
done
wget -q -O /tmp/ready http://127.0.0.1:2224/readyz 2>/dev/null
for gadget in $gadgets; do
    case " $missing " in
        *" $gadget "*)
            why=$(grep -h "gadget $gadget:" /tmp/ready | head -1)
            case $why in
                *': running'*) why='it runs, but its event was not seen' ;;
                '') why=$(grep -h -e "$gadget" -e ' ERROR ' /tmp/ig.log | tail -1) ;;
            esac
            printf 'gadget\t%s\tfailed\t%s\n' "$gadget" "${why:-the collector ended}" ;;
        *) printf 'gadget\t%s\tok\t\n' "$gadget" ;;
    esac
done
[ -z "$missing" ] || { echo "--- log of the collector"; tail -n 40 /tmp/ig.log; cat /tmp/ready; }
kill -TERM $collector
wait $collector
stopped=$?
[ $stopped = 0 ] && printf 'gadget\tstop\tok\t\n' || printf 'gadget\tstop\tfailed\texit status %s\n' $stopped
echo "uptime: $(cut -d' ' -f1 /proc/uptime)"
