#!/usr/bin/env bash
# Takes InfluxDB 1.6.7, an old server that many still run, out of Debian's package of it: once, into the cache of build.sh, installing nothing.
# Prints the path of the executable. Needs apt-get and dpkg-deb, but not root: without package lists it reads them into a directory of its own.
set -euo pipefail
cache=${INFLUXMIRROR_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/influxmirror/servers}/debian
bin=$cache/influxd-1.6.7
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9

if [ ! -x "$bin" ]; then
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { echo "InfluxDB 1.6.7 comes from Debian: apt-get and dpkg-deb are needed" >&2; exit 3; }
  work=$(mktemp -d "$cache/part.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
  cd "$work"
  apt-get download -qq influxdb >/dev/null 2>&1 || {
    own=(-qq -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=)
    apt-get "${own[@]}" update >&2
    apt-get "${own[@]}" download influxdb >&2
  }
  dpkg-deb -x influxdb_*.deb x
  x/usr/bin/influxd version | grep -q 'v1\.6\.7' || { echo "Debian has another version than 1.6.7 here: $(x/usr/bin/influxd version)" >&2; exit 3; }
  mv x/usr/bin/influxd "$bin"
fi
echo "$bin"
