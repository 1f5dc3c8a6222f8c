#!/usr/bin/env bash
# Lives through histories, a process for each processor: two worlds in one process take turns and are a tenth slower.
# usage: histories.sh HISTORIES LONG FIRST-SEED
set -euo pipefail
cd "$(dirname "$0")"
histories=$1 long=$2 start=$3 lanes=$(nproc)
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$dir"' EXIT
CGO_ENABLED=0 go test -c -o "$dir/sim.test" .
pids=()
for ((i = 0; i < lanes; i++)); do
  n=$((histories / lanes + (i < histories % lanes)))
  l=$((long / lanes + (i < long % lanes)))
  GOMAXPROCS=1 "$dir/sim.test" -test.timeout 5h -test.v -test.run '^Test(Long)?Histories$' -histories "$n" -long "$l" -start "$start" >"$dir/$i.log" 2>&1 &
  pids+=($!)
  start=$((start + n))
done
failed=0
for i in "${!pids[@]}"; do
  wait "${pids[$i]}" || failed=1
  grep -vE '^(=== |    --- |        --- |\s*$)' "$dir/$i.log"
done
exit $failed
