#!/usr/bin/env bash
# fuzz.sh TIME [TOTALS]: runs each fuzz target of the tree for so many seconds, one on each
# processor; ends with the first that finds something. With a file of totals it writes
# down what was done, and a target that has had its time before is passed over: a run
# that was cut off goes on where it ended.
set -euo pipefail
cd "$(dirname "$0")/.."
export seconds=${1:-3} totals=${2:-}

fuzz() { # PACKAGE TARGET
  [ -z "$totals" ] || ! grep -q "^$1	$2	" "$totals" || return 0
  printf '%-32s %s\n' "$2" "$1"
  local out status=0 last
  out=$(go test -run '^$' -fuzz "^$2\$" -fuzztime "${seconds}s" -parallel 1 "$1" </dev/null) || status=$?
  if grep -q '^    context deadline exceeded$' <<<"$out" && ! grep -q 'Failing input' <<<"$out"; then
    out+=$'\n'"$2: its time was over in the middle of something, which Go before 1.27 takes for a fault (golang/go#75804)"
    status=0
  fi
  grep -vE '^(fuzz: elapsed|PASS$|ok )' <<<"$out" || true
  [ "$status" -eq 0 ] || exit 255 # ends xargs
  # "fuzz: elapsed: 10m0s, execs: 123 (4/sec), new interesting: 5 (total: 6)"
  last=$(grep -E '^fuzz: elapsed.*execs' <<<"$out" | tail -1)
  [ -z "$totals" ] || printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$seconds" \
    "$(sed -E 's/.*execs: ([0-9]+).*/\1/' <<<"$last")" "$(sed -E 's/.*total: ([0-9]+).*/\1/' <<<"$last")" "$(date +%F)" >>"$totals"
}
export -f fuzz

grep -rlE '^func Fuzz' --include='*_test.go' . | sort | while read -r file; do
  grep -oE '^func Fuzz[A-Za-z0-9_]+' "$file" | sed "s|^func |$(dirname "$file") |"
done | xargs -L 1 -P "$(nproc)" bash -euo pipefail -c 'fuzz "$@"' fuzz
