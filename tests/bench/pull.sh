#!/usr/bin/env bash
# Time to pull a 5 MB image over loopback from Debian's registry server, ig beside skopeo, turn by turn in one run.
#   tests/bench/pull.sh [IG] [ROUNDS]      IG: a release build, by default target/release/ig
# Both store into an empty OCI layout each time; both compare every digest. What ig does more: it makes each blob
# durable (fsync) and looks for signatures in three places.
set -euo pipefail
ig=$(readlink -f "${1:-target/release/ig}") rounds=${2:-21}
work=$(mktemp -d)
server=
# shellcheck disable=SC2317
finish() { [ -z "$server" ] || kill "$server"; rm -rf "$work"; }
trap finish EXIT

printf 'version: 0.1\nlog: {level: info}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: 127.0.0.1:0}\n' "$work/data" > "$work/config.yml"
docker-registry serve "$work/config.yml" > "$work/requests" 2> "$work/log" &
server=$!
until port=$(sed -n 's/.*listening on 127.0.0.1:\([0-9]*\).*/\1/p' "$work/log") && [ -n "$port" ]; do kill -0 "$server"; done
host=127.0.0.1:$port

# A layout of one image: two architectures with one layer each.
layout=$work/layout blobs=$work/layout/blobs/sha256
mkdir -p "$blobs"
blob() { local sum; sum=$(sha256sum < "$1" | cut -d' ' -f1); cp "$1" "$blobs/$sum"; printf '"digest":"sha256:%s","size":%s' "$sum" "$(stat -c %s "$1")"; }
printf 'name: bench\n' > "$work/yaml"
index='' separator=''
for arch in amd64 arm64; do
    head -c 2500000 /dev/urandom > "$work/object"
    printf '{"schemaVersion":2,"artifactType":"application/vnd.gadget.v1+binary","config":{"mediaType":"application/vnd.gadget.config.v1+yaml",%s},"layers":[{"mediaType":"application/vnd.gadget.ebpf.program.v1+binary",%s}]}' \
        "$(blob "$work/yaml")" "$(blob "$work/object")" > "$work/manifest"
    index+=$separator$(printf '{"mediaType":"application/vnd.oci.image.manifest.v1+json",%s,"platform":{"architecture":"%s","os":"linux"}}' "$(blob "$work/manifest")" $arch)
    separator=,
done
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s]}' "$index" > "$work/index"
printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json",%s,"annotations":{"org.opencontainers.image.ref.name":"v1"}}]}' "$(blob "$work/index")" > "$layout/index.json"
printf '{"imageLayoutVersion":"1.0.0"}' > "$layout/oci-layout"
skopeo --insecure-policy copy --all --quiet --dest-tls-verify=false "oci:$layout:v1" "docker://$host/bench:v1"

now() { date +%s%N; }
ours() { "$ig" image --store "$work/ours" pull "$host/bench:v1" --insecure-registries "$host" 2> "$work/said" || { cat "$work/said" >&2; exit 1; }; }
theirs() { skopeo --insecure-policy copy --all --quiet --src-tls-verify=false "docker://$host/bench:v1" "oci:$work/theirs:v1"; }
for round in $(seq 0 "$rounds"); do
    rm -rf "$work/ours" "$work/theirs"
    a=$(now); ours; b=$(now); theirs; c=$(now)
    # The first round warms the caches.
    [ "$round" = 0 ] || echo "$((b - a)) $((c - b))" >> "$work/times"
done
cmp "$work/ours/blobs/sha256/$(sha256sum < "$work/index" | cut -d' ' -f1)" "$work/index"
median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
awk '{printf "%.1f\n", $1 / 1e6}' "$work/times" | median | sed 's/^/ig image pull, median ms: /'
awk '{printf "%.1f\n", $2 / 1e6}' "$work/times" | median | sed 's/^/skopeo copy, median ms: /'
awk '{printf "%.3f\n", $1 / $2}' "$work/times" | median | sed 's/^/median of the ratios, ig to skopeo: /'
