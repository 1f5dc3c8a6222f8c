#!/usr/bin/env bash
# Builds a release into a directory: build.sh VERSION DIRECTORY [GOOS/GOARCH…]. The same sources, version and Go give the same bytes in any directory.
# With SIGNING_KEY=FILE, a private key of ssh, SHA256SUMS is signed.
set -euo pipefail
version=$1 out=$(mkdir -p "$2" && cd "$2" && pwd)
shift 2
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- linux/amd64 linux/arm64 linux/arm darwin/amd64 darwin/arm64
rm -f "$out"/influxmirror-* "$out"/SHA256SUMS* "$out"/THIRD_PARTY.txt "$out"/influxmirror.service "$out"/LICENSE
for target in "$@"; do
  name=influxmirror-$version-${target%/*}-${target#*/}
  # Nothing of this machine: no path, no state of a repository, no flags of its own. GOARM=6 runs on every Raspberry Pi.
  env GOFLAGS= GOEXPERIMENT= CGO_ENABLED=0 GOOS="${target%/*}" GOARCH="${target#*/}" GOAMD64=v1 GOARM=6 \
    go build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.release=$version" -o "$out/$name" ./cmd/influxmirror
done
cp LICENSE contrib/systemd/influxmirror.service "$out"
GOFLAGS='' go run ./tools/release "$version" "$out"
if [ -n "${SIGNING_KEY:-}" ]; then
  ssh-keygen -q -Y sign -f "$SIGNING_KEY" -n influxmirror-release "$out/SHA256SUMS"
else
  echo "not signed: SIGNING_KEY names no key" >&2
fi
