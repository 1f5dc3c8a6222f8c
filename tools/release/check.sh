#!/usr/bin/env bash
# Checks that a release can be built again to the byte: once here, once from a copy in another directory with nothing kept of the first; and that a signature
# is of what was signed and of nothing else. Only for this machine's system: the others differ in nothing that could matter here.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
target=$(go env GOHOSTOS)/$(go env GOHOSTARCH)
ssh-keygen -q -t ed25519 -N '' -C check -f "$work/key"
SIGNING_KEY=$work/key tools/release/build.sh v0.0.0-check "$work/one" "$target"
mkdir -p "$work/a/longer/path"
tar c --exclude=./.git --exclude=./bin --exclude=./dist . | tar x -C "$work/a/longer/path"
GOCACHE=$work/cache "$work/a/longer/path/tools/release/build.sh" v0.0.0-check "$work/two" "$target" 2>/dev/null
cmp "$work/one/SHA256SUMS" "$work/two/SHA256SUMS"
said=$("$work/one/influxmirror-v0.0.0-check-${target/\//-}" version)
[ "$said" = "influxmirror v0.0.0-check" ] || { echo "the program calls itself $said" >&2; exit 1; }
(cd "$work/two" && sha256sum --quiet -c SHA256SUMS)
echo "release@influxmirror namespaces=\"influxmirror-release\" $(cut -d' ' -f1,2 "$work/key.pub")" >"$work/signers"
verify() { ssh-keygen -Y verify -f "$work/signers" -I release@influxmirror -n influxmirror-release -s "$work/one/SHA256SUMS.sig" >/dev/null 2>&1; }
verify <"$work/one/SHA256SUMS" || { echo "the signature does not hold" >&2; exit 1; }
if sed 's/^./x/' "$work/one/SHA256SUMS" | verify; then echo "a signature of something else holds" >&2; exit 1; fi
echo "built twice, the same bytes; the signature holds"
