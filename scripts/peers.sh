#!/bin/bash
# Fetches the Debian packages of the mail systems that the tests talk to and
# unpacks them, uninstalled, into a cache folder, where test/peers finds them:
#
#     scripts/peers.sh [-f] [all|NAME...]     -f: fetch again what is there
#
# The folder is $POSTRIDER_PEERS, else ${XDG_CACHE_HOME:-~/.cache}/postrider-peers.
# Nothing is installed, no service is started, no user is made. Root is needed
# only where `apt-get update` turns out to be.
set -euo pipefail

CACHE=${POSTRIDER_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/postrider-peers}

# One line a peer: its name, the package whose version it shows, more packages.
# To add a peer add a line; what these packages depend on and the machine lacks
# is found by apt's own solver.
PEERS='
postfix    postfix
exim       exim4-daemon-light  exim4-base
opensmtpd  opensmtpd
dovecot    dovecot-core        dovecot-lmtpd
swaks      swaks               libnet-ssleay-perl
opendkim   opendkim            opendkim-tools
rspamd     rspamd
chromium   chromium            chromium-common
prometheus prometheus
'

die() { echo "peers: $*" >&2; exit 1; }

updated=
# Old package lists name versions that the mirror no longer has; a new machine has none.
update() {
	[ -z "$updated" ] || return 1
	updated=1
	apt-get -qq update >&2 || { echo "peers: apt-get update failed (as $(id -un))" >&2; return 1; }
}

# needed PACKAGE...: the packages themselves and what the machine lacks for them.
# A simulated install changes nothing, also where it would have to remove a mail
# server that conflicts with ours.
needed() {
	local plan
	plan=$(apt-get -s -qq -o Debug::NoLocking=1 --no-install-recommends install "$@") || return 1
	{ printf '%s\n' "$@"; awk '$1 == "Inst" { print $2 }' <<<"$plan"; } | sort -u
}

# download PACKAGE...: the packages and what they need, as .deb files in ./.
download() {
	local names
	names=$(needed "$@") || return 1
	# shellcheck disable=SC2086
	apt-get -qq download $names
}

# missing TREE: the shared libraries that programs in TREE would not find.
missing() {
	local dirs
	dirs=$(find "$1/usr/lib" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
	find "$1/usr" -type f \( -perm -u+x -o -name '*.so*' \) -print0 |
		{ LD_LIBRARY_PATH=$dirs xargs -0 -r -n 20 ldd 2>/dev/null || true; } | # fails for scripts
		awk '/not found/ { print $1 }' | sort -u | paste -sd' '
}

# unpack NAME SHOWN [MORE...]: makes $CACHE/NAME, whole or not at all.
unpack() {
	local name=$1 tmp=$CACHE/.$1.new lacks version f; shift
	if [ -z "$force" ] && [ "$(head -n 1 "$CACHE/$name/.stamp" 2>/dev/null)" = "$*" ]; then
		echo "$name: $(sed -n 2p "$CACHE/$name/.stamp") is there"
		return 0
	fi
	rm -rf "$tmp"; mkdir -p "$tmp/debs" "$tmp/tree"
	(
		cd "$tmp/debs"
		download "$@" 2>../error || { update && download "$@" 2>../error; }
	) || { cat "$tmp/error" >&2; rm -rf "$tmp"; die "$name: cannot get the packages $*"; }
	for f in "$tmp"/debs/*.deb; do
		dpkg -x "$f" "$tmp/tree"
	done
	# Bookworm's packages still carry /lib and /sbin, which are links into /usr on
	# the machine: only /usr and /etc are laid over it.
	for f in bin sbin lib; do
		[ -d "$tmp/tree/$f" ] || continue
		mkdir -p "$tmp/tree/usr/$f"; cp -a "$tmp/tree/$f/." "$tmp/tree/usr/$f/"; rm -rf "${tmp:?}/tree/$f"
	done
	mkdir -p "$tmp/tree/usr/lib" "$tmp/tree/etc"
	lacks=$(missing "$tmp/tree")
	[ -z "$lacks" ] || die "$name: no package brought the libraries $lacks"
	version=$(dpkg-deb -f "$tmp"/debs/"$1"_*.deb Version)
	{
		echo "$*"
		echo "$version"
		for f in "$tmp"/debs/*.deb; do dpkg-deb -W "$f"; done
	} >"$tmp/tree/.stamp"
	rm -rf "${CACHE:?}/$name"; mv "$tmp/tree" "$CACHE/$name"; rm -rf "$tmp"
	echo "$name: $version unpacked"
}

force=
[ "${1:-}" != -f ] || { force=1; shift; }
[ $# -gt 0 ] && [ "$1" != all ] || set -- $(awk 'NF { print $1 }' <<<"$PEERS")
for tool in apt-get dpkg dpkg-deb ldd flock; do
	command -v $tool >/dev/null || die "$tool is missing: this needs Debian or a relative of it"
done
mkdir -p "$CACHE"
exec 9>"$CACHE/.lock"; flock 9
for want; do
	line=$(awk -v n="$want" '$1 == n { $1 = ""; print }' <<<"$PEERS")
	[ -n "$line" ] || die "no peer $want; there are: $(awk 'NF { printf " %s", $1 }' <<<"$PEERS")"
	# shellcheck disable=SC2086
	unpack "$want" $line
done
