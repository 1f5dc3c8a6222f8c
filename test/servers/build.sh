#!/usr/bin/env bash
# Builds the real InfluxDB servers that the tests run against, once per version and recipe, into a cache outside the repository.
# Prints the directory that holds influxd-2.7.12 and influxd-1.13.2. Needs Go, a C compiler and cargo.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
recipe=$(cat "$here/build.sh" "$here"/v*/go.mod "$here"/v*/go.sum | sha256sum | cut -c1-12)
cache=${INFLUXMIRROR_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/influxmirror/servers}/$recipe
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9   # two builds at once would only be slower

v1=$cache/influxd-1.13.2 v2=$cache/influxd-2.7.12
build() { # module directory, package, version, output
  [ -x "$4" ] && return
  echo "building InfluxDB $3 (some minutes, once)" >&2
  (cd "$here/$1" &&
    RUSTUP_TOOLCHAIN=stable RUSTC_WRAPPER="$tools/rustc-cap-lints" PKG_CONFIG="$tools/pkg-config" CGO_ENABLED=1 \
      go build -trimpath -ldflags "-s -w -X main.version=$3" -o "$4.part" "$2")
  mv "$4.part" "$4"
}

if [ ! -x "$v1" ] || [ ! -x "$v2" ]; then
  command -v cargo >/dev/null || { echo "building InfluxDB needs cargo (for libflux); install Rust" >&2; exit 3; }
  tools=$cache/tools
  mkdir -p "$tools"
  GOBIN=$tools go install github.com/influxdata/pkg-config@v0.2.14
  # libflux pins an old compiler and denies lints that newer ones add; RUSTFLAGS does not reach its build dependencies, a wrapper does.
  cat > "$tools/rustc-cap-lints" <<'W'
#!/usr/bin/env bash
for a in "$@"; do [ "$a" = --cap-lints ] && exec "$@"; done
exec "$@" --cap-lints allow
W
  chmod +x "$tools/rustc-cap-lints"
  build v2 github.com/influxdata/influxdb/v2/cmd/influxd 2.7.12 "$v2"
  build v1 github.com/influxdata/influxdb/cmd/influxd 1.13.2 "$v1"
fi
echo "$cache"
