#!/usr/bin/env bash
# Runs all tests again and again, to find those that fail by luck. Builds once; the second half of the runs has two
# busy loops beside it.
#   tests/repeat.sh [RUNS [NAME…]]     20 runs of all test binaries; with names, of those whose name holds one of them
# Prints a line for each run and `N of N green` at the end; the log of a run that failed stays in target/repeat.
# Exit status 1 unless all were green.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-20}
[ $# = 0 ] || shift
folder=$PWD/target/repeat
mkdir -p "$folder"
exec 9> "$folder/lock"
flock -n 9 || { echo "error: another tests/repeat.sh runs here" >&2; exit 1; }
rm -rf "$folder/bin" "$folder"/run-*.log
mkdir -p "$folder/bin"

binaries=$(tests/build.sh)
# Links, so that a build meanwhile changes nothing here.
wanted=()
while IFS=$'\t' read -r name package binary; do
    [ $# = 0 ] || grep -qF -f <(printf '%s\n' "$@") <<< "$name" || continue
    ln "$binary" "$folder/bin/$(basename "$binary")"
    wanted+=("$name"$'\t'"$package"$'\t'"$folder/bin/$(basename "$binary")")
done <<< "$binaries"
[ ${#wanted[@]} -gt 0 ] || { echo "error: no test binary has such a name: $*" >&2; exit 1; }
ln "${CARGO_TARGET_DIR:-target}/debug/ig" "$folder/bin/ig"
export IG_BINARY=$folder/bin/ig

busy=()
calm() { [ ${#busy[@]} = 0 ] || kill "${busy[@]}"; busy=(); }
trap calm EXIT

# One run; prints the names of what failed.
run() { # LOG
    local name package binary threads
    while IFS=$'\t' read -r name package binary; do
        # One at a time: they load all gadgets on one kernel.
        threads=()
        [ "$name" != tests/e2e ] || threads=(--test-threads=1)
        printf '\n     Running %s\n' "$name" >> "$1"
    (cd "$package" && CARGO_MANIFEST_DIR=$package "$binary" "${threads[@]}" < /dev/null >> "$1" 2>&1 9>&-) || printf ' %s' "$name"
    done < <(printf '%s\n' "${wanted[@]}")
}

green=0
for ((number = 1; number <= runs; number++)); do
    beside=calm
    if ((number > (runs + 1) / 2)); then
        beside="two busy loops"
        if [ ${#busy[@]} = 0 ]; then
            for _ in 1 2; do (exec 9>&-; while :; do :; done) & busy+=($!); done
        fi
    fi
    log=$folder/run-$number.log
    began=$SECONDS
    failed=$(run "$log")
    passed=$(sed -n 's/^test result: [^ ]* \([0-9]*\) passed.*/\1/p' "$log" | awk '{sum += $1} END {print sum + 0}')
    if [ -z "$failed" ]; then
        green=$((green + 1)) word=green
        rm -f "$log"
    else
        word="FAILED:$failed; see $log"
    fi
    printf '%3s of %s  %-14s  load %-5s  %5ss  %s tests  %s\n' \
        "$number" "$runs" "$beside" "$(cut -d' ' -f1 /proc/loadavg)" "$((SECONDS - began))" "$passed" "$word"
done
printf '%s of %s green\n' "$green" "$runs"
[ "$green" = "$runs" ]
