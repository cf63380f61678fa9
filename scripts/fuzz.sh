#!/usr/bin/env bash
# fuzz.sh TIME [TOTALS]: runs each fuzz target of the tree for so many seconds, one after
# the other; ends with the first that finds something. With a file of totals it writes
# down what was done, and a target that has had its time before is passed over: a run
# that was cut off goes on where it ended.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-3} totals=${2:-}
grep -rlE '^func Fuzz' --include='*_test.go' . | sort | while read -r file; do
  pkg=$(dirname "$file")
  grep -oE '^func Fuzz[A-Za-z0-9_]+' "$file" | sed 's/^func //' | while read -r target; do
    [ -z "$totals" ] || ! grep -q "^$pkg	$target	" "$totals" || continue
    printf '%-32s %s\n' "$target" "$pkg"
    out=$(mktemp)
    status=0
    go test -run '^$' -fuzz "^$target\$" -fuzztime "${seconds}s" "$pkg" </dev/null >"$out" || status=$?
    grep -vE '^(fuzz: elapsed|PASS$|ok )' "$out" || true
    # "fuzz: elapsed: 10m0s, execs: 123 (4/sec), new interesting: 5 (total: 6)"
    last=$(grep -E '^fuzz: elapsed.*execs' "$out" | tail -1)
    rm "$out"
    [ "$status" -eq 0 ] || exit 1
    [ -z "$totals" ] || printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$pkg" "$target" "$seconds" \
      "$(sed -E 's/.*execs: ([0-9]+).*/\1/' <<<"$last")" "$(sed -E 's/.*total: ([0-9]+).*/\1/' <<<"$last")" "$(date +%F)" >>"$totals"
  done
done
