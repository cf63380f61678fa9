#!/usr/bin/env bash
# postrider as one of the servers that are compared: bench/README.md. Verbs: setup MODE |
# run | started MODE | stop | count | list | flush | version | conf.
# Modes: hold (accept, deliver nothing), relay (one next hop), fanout (a next hop a domain).
set -euo pipefail
BIN=${POSTRIDER:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/bin/postrider}
R=$WORK/run/postrider
DESK=127.0.0.1:$((IN_PORT + 1))
rider() { "$BIN" "$@" -c "$R/postrider.toml"; }

case $1 in
setup)
	rm -rf "$R"
	mkdir -p "$R"
	cat >"$R/postrider.toml" <<C
hostname = "mta.bench.test"
data = "$R/data"
[[listen]]
kind = "smtp"
address = "127.0.0.1:$IN_PORT"
[[listen]]
kind = "http"
address = "$DESK"
[relay]
clients = ["127.0.0.0/8"]
[smtp]
max_size = "60MB"
max_connections_per_client = 1000
max_connections_per_network = 1000
${PR_EXTRA:-}
C
	case $2 in
	fanout) while read -r domain ip port; do
		printf '[[route]]\ndomain = "%s"\nto = ["smtp:%s:%s"]\n' "$domain" "$ip" "$port"
	done <"$WORK/routes" >>"$R/postrider.toml" ;;
	*) printf '[[route]]\ndomain = "*"\nto = ["smtp:127.0.0.1:%s"]\nconnections = 50\n' "$OUT_PORT" >>"$R/postrider.toml" ;;
	esac
	;;
run)
	echo $$ >"$R/pid"
	exec "$BIN" serve -c "$R/postrider.toml" >>"$R/log" 2>&1
	;;
started) if [ "$2" = hold ]; then rider pause d1.test >/dev/null; fi ;;
stop) if [ "$(readlink "/proc/$(cat "$R/pid")/exe")" = "$BIN" ]; then kill -TERM "$(cat "$R/pid")"; fi ;;
count) curl -s "http://$DESK/metrics" | awk '/^postrider_queue_deliveries[ {]/ { n += $2 } END { print n + 0 }' ;;
list) rider queue | tail -1 ;;
flush) rider retry --domain d1.test >/dev/null || true ;;
version) "$BIN" version ;;
conf) cat "$R/postrider.toml" ;;
*) echo "no verb $1" >&2 && exit 2 ;;
esac
