#!/usr/bin/env bash
# Loads and attaches programs of every kind and all gadgets on Debian's kernels, each in a VM, and provokes events.
#   tests/kernels/run.sh [--table FILE] [--matrix] [RELEASE…]   RELEASE: 6.1, 6.12, … or newest; all of KERNELS without
# --table writes the result as Markdown. --matrix also compares the loader with libbpf there, feature by feature, and,
# with all kernels, writes collector/docs/loader-matrix.md. Exit status 1 if anything failed that known.tsv does not
# explain, or if something that it says fails does work, or if a kernel could not be had.
set -euo pipefail
cd "$(dirname "$0")/../.."
KERNELS=(5.10 6.1 6.12 6.18 newest)
table= matrix=
while true; do
    case ${1:-} in
        --table) table=$2; shift 2 ;;
        --matrix) matrix=yes; shift ;;
        *) break ;;
    esac
done
releases=("$@")
[ $# -gt 0 ] || releases=("${KERNELS[@]}")
folder=$PWD/target/kernels
target=${CARGO_TARGET_DIR:-target}
tree=$folder/tree
mkdir -p "$folder"
exec 9> "$folder/lock"
flock 9

step() { printf '== %s (%ss)\n' "$1" "$SECONDS" >&2; }
fail() { echo "error: $*" >&2; exit 1; }

step "kernels"
fetched=$(tests/kernels/fetch.sh "$folder" "${releases[@]}") || fail "not all kernels are there: ${releases[*]}"

step "ig, programs and gadgets"
ig=${IG_BINARY:-$target/debug/ig}
binaries=$(tests/build.sh)
rm -rf "$tree" "$tree.cpio"
mkdir -p "$tree/test/programs"
strip -o "$tree/test/ig" "$ig"
strip -o "$tree/test/ig-attach" "$target/debug/ig-attach"
programs=("$ig" "$target/debug/ig-attach")
columns=$folder/columns
rm -rf "$columns"
if [ -n "$matrix" ]; then
    step "the loader's features"
    mkdir -p "$columns"
    binary=$(awk -F'\t' '$1 == "loader/matrix" {print $3}' <<< "$binaries")
    [ -n "$binary" ] || fail "the test of the loader's features was not built"
    MATRIX_SAVE=$tree/test/objects "$binary" --quiet >&2
    strip -o "$tree/test/matrix" "$binary"
    programs+=("$binary")
fi
for binary in "${programs[@]}"; do
    ldd "$binary" | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p; s/^\s*\(\/[^ ]*\) (.*/\1/p' | while read -r library; do
        mkdir -p "$tree$(dirname "$library")"
        cp -L "$library" "$tree$library"
    done
done
# Probes of libraries find them through the dynamic linker's cache; the libraries lie where they do on this machine.
mkdir -p "$tree/etc"
cp /etc/ld.so.cache "$tree/etc/"
for source in tests/kernels/programs/*.bpf.c; do
    clang-19 -g -O2 -Wall -Werror -target bpf -c "$source" -o "$tree/test/programs/$(basename "$source" .bpf.c).o"
done
cp tests/kernels/gadgets.sh "$tree/test/"
cp tests/kernels/guest.sh "$tree/test/run"
chmod +x "$tree/test/run"
# shellcheck source=tests/kernels/gadgets.sh
. tests/kernels/gadgets.sh
gadgets=()
{
    printf 'apiVersion: 1\nkind: runtime-config\nexporters:\n  prometheus: {listen: 127.0.0.1:2224}\ngadgets:\n'
    for yaml in gadgets/*/gadget.yaml; do
        gadget=$(basename "$(dirname "$yaml")")
        metric=metric_$gadget
        [ -n "${!metric:-}" ] || fail "tests/kernels/gadgets.sh does not say how to provoke an event for $gadget"
        "$ig" image --store "$tree/test/store" build "gadgets/$gadget" -t "$gadget" >&2
        params=params_$gadget
        printf '  - {name: %s, image: "%s:latest", image-metrics: false, interval: 1s, params: {%s}, metrics: [%s]}\n' \
            "$gadget" "$gadget" "${!params:-}" "${!metric}"
        gadgets+=("$gadget")
    done
} > "$tree/test/config.yaml" 2> "$folder/build.log" || { cat "$folder/build.log" >&2; exit 1; }
for yaml in gadgets/*/gadget.yaml; do basename "$(dirname "$yaml")"; done > "$tree/test/gadgets"
"$ig" config check "$tree/test/config.yaml" >&2

results=$folder/results.tsv
: > "$results"
status=0
while read -r release version; do
    step "$release: $version"
    out=$folder/out-$release
    died=0
    VM_TIMEOUT=${matrix:+900} tests/kernels/vm.sh "$folder" "$version" "$tree" > "$out" || died=$?
    [ $died = 0 ] || { echo "error: $release: the run ended with $died" >&2; cat "$out" >&2; status=1; }
    awk -F'\t' -v OFS='\t' -v release="$release" '$1 == "program" || $1 == "gadget" {print release, $0}' "$out" >> "$results"
    if [ -n "$matrix" ]; then
        column=$(awk -F'\t' '$1 == "column" {print $2}' "$out")
        if [ -n "$column" ]; then awk -F'\t' -v OFS='\t' '$1 == "row" {print $2, $3}' "$out" > "$columns/$column"
        else echo "error: $release: the loader was not compared with libbpf" >&2; status=1; fi
    fi
    grep -P '\tfailed\t' "$out" >&2 || true
    grep uptime "$out" >&2 || true
done <<< "$fetched"

# What is expected to fail, and whether it did: known.tsv has release, name, reason.
passed=0 failed=0 explained=0
while IFS=$'\t' read -r release kind name word why; do
    known=$(awk -F'\t' -v release="$release" -v name="$name" '($1 == release || $1 == "*") && $2 == name {print $3}' tests/kernels/known.tsv)
    case $word:${known:+known} in
        ok:) passed=$((passed + 1)) ;;
        ok:known) failed=$((failed + 1)); echo "error: $release: $kind $name works; take it out of tests/kernels/known.tsv" >&2 ;;
        *:known) explained=$((explained + 1)) ;;
        *) failed=$((failed + 1)); echo "error: $release: $kind $name: $why" >&2 ;;
    esac
done < "$results"
[ $failed = 0 ] || status=1
# A machine that came up but tried nothing proves nothing.
while read -r release _; do
    for kind in gadget program; do
        grep -qP "^$release\t$kind\t" "$results" || { echo "error: $release: no $kind was tried" >&2; status=1; }
    done
done <<< "$fetched"

markdown() {
    echo "# What works on which kernel"
    echo
    echo "Made by \`make test-kernels\`; not to be edited. Each cell is a program or gadget that was loaded and attached on that"
    echo "kernel in a VM and saw an event that was provoked there. Kernels are Debian's cloud kernels, x86-64."
    echo
    printf '| |'; while read -r _ version; do printf ' %s |' "${version%-cloud-amd64}"; done <<< "$fetched"; echo
    printf '| --- |'; while read -r _; do printf ' --- |'; done <<< "$fetched"; echo
    notes=()
    for kind in gadget program; do
        while read -r name; do
            printf '| %s `%s` |' "$kind" "$name"
            while read -r release _; do
                IFS=$'\t' read -r word why < <(awk -F'\t' -v OFS='\t' -v r="$release" -v k="$kind" -v n="$name" '$1==r && $2==k && $3==n {print $4, $5}' "$results") || true
                case ${word:-none} in
                    ok) printf ' yes |' ;;
                    none) printf ' not run |' ;;
                    *) notes+=("$release, \`$name\`: $why"); printf ' no (%s) |' "${#notes[@]}" ;;
                esac
                word=
            done <<< "$fetched"
            echo
        done < <(awk -F'\t' -v k="$kind" '$2==k && !seen[$3]++ {print $3}' "$results")
    done
    [ ${#notes[@]} = 0 ] || { echo; for index in "${!notes[@]}"; do echo "$((index + 1)). ${notes[index]}"; done; }
}
markdown
[ -z "$table" ] || markdown > "$table"
if [ -n "$matrix" ] && [ $status = 0 ] && [ "${releases[*]}" = "${KERNELS[*]}" ]; then
    step "the table of the loader's features"
    UPDATE=1 MATRIX_COLUMNS=$columns "$(readlink -f "${programs[2]}")" --quiet >&2 || status=1
fi
# For whoever counts tests; skipped are those that known.tsv explains.
printf '%s passed, %s failed, %s skipped\n' "$passed" "$failed" "$explained"
step "done"
exit $status
