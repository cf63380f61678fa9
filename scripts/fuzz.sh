#!/usr/bin/env bash
# Runs each fuzz target of the tree for a while, one after the other; ends with the
# first that finds something.
set -euo pipefail
cd "$(dirname "$0")/.."
for_each=${1:-3s}
grep -rlE '^func Fuzz' --include='*_test.go' . | sort | while read -r file; do
  pkg=$(dirname "$file")
  grep -oE '^func Fuzz[A-Za-z0-9_]+' "$file" | sed 's/^func //' | while read -r target; do
    printf '%-32s %s\n' "$target" "$pkg"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "$for_each" "$pkg" </dev/null | grep -vE '^(fuzz: elapsed|PASS$|ok )' || true
    [ "${PIPESTATUS[0]}" -eq 0 ] || exit 1
  done
done
