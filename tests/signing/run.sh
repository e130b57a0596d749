#!/usr/bin/env bash
# Signs and verifies images with `ig` and with others, in both directions, around a real registry.
#   tests/signing/run.sh IG [FOLDER]     IG is the program; FOLDER keeps what was fetched (target/signing)
# Needs docker-registry, openssl and curl, and what tests/signing/fetch.sh fetches. Exit status 1 if one check fails.
set -euo pipefail
ig=$(readlink -f "$1")
cd "$(dirname "$0")/../.."
tools=$(mkdir -p "${2:-target/signing}" && readlink -f "${2:-target/signing}")
tests/signing/fetch.sh "$tools"
work=$(mktemp -d)
registry=
cleanup() { [ -z "$registry" ] || kill "$registry"; rm -rf "$work"; }
trap cleanup EXIT
cd "$work"
export HOME=$work IG_STORE=$work/store COSIGN_PASSWORD=secret IG_KEY_PASSWORD=secret

# --- a registry on a free port
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > registry.yml <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: "127.0.0.1:$port"}
YAML
docker-registry serve registry.yml > registry.log 2>&1 &
registry=$!
curl -s --retry 50 --retry-delay 1 --retry-connrefused -o /dev/null "http://127.0.0.1:$port/v2/"
host=127.0.0.1:$port

# --- checks
failed=0
passes() { local what=$1; shift; if "$@" > out 2>&1; then echo "ok      $what"; else echo "FAILED  $what"; sed 's/^/        /' out; failed=1; fi; }
refuses() { local what=$1; shift; if "$@" > out 2>&1; then echo "FAILED  $what: accepted"; failed=1; else echo "ok      $what"; fi; }
count=0
# A new image in the store and, if asked for, in the registry; its name is in $image, its digest in $digest.
fresh() {
    count=$((count + 1)); image=$host/gadget$count:v1
    python3 - "$IG_STORE" "$image" "$count" <<'PY'
import hashlib, json, os, sys
store, name, text = sys.argv[1:]
def put(data):
    digest = hashlib.sha256(data).hexdigest()
    path = f"{store}/blobs/sha256/{digest}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, "wb").write(data)
    return {"digest": "sha256:" + digest, "size": len(data)}
def document(value): return json.dumps(value, separators=(",", ":")).encode()
config = {"mediaType": "application/vnd.gadget.config.v1+yaml", **put(b"name: x\n")}
layer = {"mediaType": "application/vnd.gadget.ebpf.program.v1+binary", **put(text.encode())}
manifest = {"mediaType": "application/vnd.oci.image.manifest.v1+json", **put(document({"schemaVersion": 2,
    "artifactType": "application/vnd.gadget.v1+binary", "config": config, "layers": [layer]})),
    "platform": {"architecture": "amd64", "os": "linux"}}
index = "application/vnd.oci.image.index.v1+json"
image = {"mediaType": index, **put(document({"schemaVersion": 2, "mediaType": index, "manifests": [manifest]}))}
listed = {"schemaVersion": 2, "mediaType": index, "manifests": []}
if os.path.exists(f"{store}/index.json"): listed = json.load(open(f"{store}/index.json"))
listed["manifests"].append({**image, "annotations": {"org.opencontainers.image.ref.name": name}})
open(f"{store}/index.json", "w").write(json.dumps(listed))
open(f"{store}/oci-layout", "w").write('{"imageLayoutVersion":"1.0.0"}')
open("digest", "w").write(image["digest"])
PY
    digest=$(cat digest)
}
push() { "$ig" image push "$image" --insecure-registries "$host" > push.log 2>&1 || { cat push.log; failed=1; }; }
# Fetches into a store of its own, so that nothing but the registry's signatures can count.
verify() { rm -rf "$work/other"; "$ig" image --store "$work/other" pull "$image" --insecure-registries "$host" &&
    "$ig" image --store "$work/other" verify --offline "$image" "$@"; }
name() { echo "${image%:*}@$digest"; }
offline=(--insecure-ignore-tlog=true --private-infrastructure --allow-insecure-registry --allow-http-registry)

mkdir -p store/blobs/sha256
"$ig" image key generate --out ours 2> /dev/null
(COSIGN_PASSWORD= IG_KEY_PASSWORD= ; env -u COSIGN_PASSWORD -u IG_KEY_PASSWORD "$ig" image key generate --out plain 2> /dev/null)
"$tools/cosign3" generate-key-pair > /dev/null 2>&1
"$ig" image key generate --out stranger 2> /dev/null

echo "--- ig signs, others verify"
for format in legacy oci11 bundle; do
    fresh
    passes "$format: ig signs" "$ig" image sign "$image" --key ours.key --format $format
    passes "$format: ig verifies before the push" "$ig" image verify --offline "$image" --public-keys ours.pub
    push
    case $format in
        legacy) passes "$format: cosign 2 verifies" "$tools/cosign2" verify --key ours.pub "${offline[@]}" "$(name)"
            passes "$format: cosign 3 verifies" "$tools/cosign3" verify --key ours.pub --new-bundle-format=false "${offline[@]}" "$(name)" ;;
        oci11) passes "$format: cosign 2 verifies" env COSIGN_EXPERIMENTAL=1 "$tools/cosign2" verify --experimental-oci11 --key ours.pub "${offline[@]}" "$(name)" ;;
        bundle) passes "$format: cosign 3 verifies" "$tools/cosign3" verify --key ours.pub "${offline[@]}" "$(name)"
            refuses "$format: cosign 3 refuses another key" "$tools/cosign3" verify --key stranger.pub "${offline[@]}" "$(name)" ;;
    esac
    passes "$format: ig verifies after a pull" verify --public-keys ours.pub
    refuses "$format: ig refuses another key" verify --public-keys stranger.pub
done

echo "--- cosign signs, ig verifies"
for key in ours cosign; do
    fresh; push
    passes "legacy: cosign 2 signs with $key.key" "$tools/cosign2" sign --key $key.key --tlog-upload=false --allow-http-registry --yes "$(name)"
    passes "legacy: ig verifies" verify --public-keys $key.pub
    passes "legacy: cosign 2 signs again" "$tools/cosign2" sign --key $key.key --tlog-upload=false --allow-http-registry --yes "$(name)"
    passes "legacy: ig verifies what is signed twice" verify --public-keys $key.pub
    refuses "legacy: ig refuses another key" verify --public-keys stranger.pub
    fresh; push
    passes "oci11: cosign 2 signs with $key.key" env COSIGN_EXPERIMENTAL=1 "$tools/cosign2" sign --registry-referrers-mode oci-1-1 --key $key.key --tlog-upload=false --allow-http-registry --yes "$(name)"
    passes "oci11: ig verifies" verify --public-keys $key.pub
    fresh; push
    echo '{}' > signing-config.json
    passes "bundle: cosign 3 signs with $key.key" "$tools/cosign3" sign --key $key.key --use-signing-config=false --tlog-upload=false --allow-http-registry --yes "$(name)"
    passes "bundle: ig verifies" verify --public-keys $key.pub
    refuses "bundle: ig refuses another key" verify --public-keys stranger.pub
done
fresh
passes "ig signs with cosign's encrypted key" "$ig" image sign "$image" --key cosign.key
passes "ig verifies that" "$ig" image verify --offline "$image" --public-keys cosign.pub
passes "ig signs with a plain key" "$ig" image sign "$image" --key plain.key
passes "ig verifies one of two signatures" "$ig" image verify --offline "$image" --public-keys plain.pub
for kind in RSA:rsa_keygen_bits:3072 ED25519:; do
    openssl genpkey -algorithm "${kind%%:*}" ${kind#*:} -out imported.pem 2> /dev/null ||
        openssl genpkey -algorithm "${kind%%:*}" -pkeyopt "${kind#*:}" -out imported.pem 2> /dev/null
    rm -f import-cosign.*
    "$tools/cosign3" import-key-pair --key imported.pem > out 2>&1 || { cat out; failed=1; }
    fresh; push
    passes "legacy: cosign 2 signs with ${kind%%:*}" "$tools/cosign2" sign --key import-cosign.key --tlog-upload=false --allow-http-registry --yes "$(name)"
    passes "legacy: ig verifies ${kind%%:*}" verify --public-keys import-cosign.pub
    fresh
    passes "legacy: ig signs with ${kind%%:*}" "$ig" image sign "$image" --key imported.pem
    push
    passes "legacy: cosign 2 verifies ${kind%%:*}" "$tools/cosign2" verify --key import-cosign.pub "${offline[@]}" "$(name)"
done

echo "--- openssl verifies what ig signed"
fresh
"$ig" image sign "$image" --key plain.key 2> /dev/null
python3 - "$IG_STORE" "sha256-${digest#sha256:}.sig" <<'PY'
import base64, json, sys
store, tag = sys.argv[1:]
blob = lambda digest: open(f"{store}/blobs/sha256/{digest.removeprefix('sha256:')}", "rb").read()
entries = json.load(open(f"{store}/index.json"))["manifests"]
entry = next(e for e in entries if e.get("annotations", {}).get("org.opencontainers.image.ref.name") == tag)
layer = json.loads(blob(entry["digest"]))["layers"][0]
open("payload", "wb").write(blob(layer["digest"]))
open("signature", "wb").write(base64.b64decode(layer["annotations"]["dev.cosignproject.cosign/signature"]))
PY
passes "openssl verifies" openssl dgst -sha256 -verify plain.pub -signature signature payload

echo "--- notation signs, ig verifies"
export XDG_CONFIG_HOME=$work/config
passes "notation makes a key" "$tools/notation" cert generate-test --default test.example
certificate=$(find "$work/config" -name '*.crt' | head -1)
policy() { # LEVEL IDENTITY
    cat > policy.json <<JSON
{"version": "1.0", "trustPolicies": [{"name": "all", "registryScopes": ["*"], "signatureVerification": {"level": "$1"},
  "trustStores": ["ca:test.example"], "trustedIdentities": ["$2"]}]}
JSON
}
subject="x509.subject: CN=test.example,O=Notary,L=Seattle,ST=WA,C=US"
for format in jws cose; do
    fresh; push
    policy strict "$subject"
    passes "$format: notation signs" "$tools/notation" sign --insecure-registry --signature-format $format "$(name)"
    passes "$format: ig verifies" verify --public-keys ours.pub --notation-certificates "$certificate" --notation-policy-document policy.json
    grep -q "verified successfully" out || { echo "FAILED  text"; failed=1; }
    policy strict "x509.subject: CN=other,O=Notary,ST=WA,C=US"
    refuses "$format: ig refuses another identity" verify --notation-certificates "$certificate" --notation-policy-document policy.json
    passes "$format: notation signs with an expiry" "$tools/notation" sign --insecure-registry --signature-format $format --expiry 24h "$(name)"
    policy strict "*"
    passes "$format: ig verifies" verify --notation-certificates "$certificate" --notation-policy-document policy.json
done
exit $failed
