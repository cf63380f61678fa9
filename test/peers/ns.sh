# ns.sh TREE DIR NAME:/PATH... -- COMMAND...: the first process of a peer's own
# mount and process namespaces. It arranges the file system as the peer expects
# it, runs COMMAND, hands SIGTERM on to it, and with its end all ends.
set -e
tree=$1 dir=$2
shift 2
mount --make-rprivate /
mount -t proc proc /proc
mount -t overlay -o "lowerdir=$dir/etc:$tree/etc:/etc" peer /etc
while [ "$1" != -- ]; do
	path=${1#*:} there=${1#*:}
	while [ ! -d "$there" ]; do there=$(dirname "$there"); done
	if [ "$path" != "$there" ]; then # the machine must not get a folder from us
		mkdir -p "$dir/.below$path"
		mount -t overlay -o "lowerdir=$dir/.below$there:$there" peer "$there"
	fi
	mount --bind "$dir/${1%%:*}" "$path"
	shift
done
shift
mount -t overlay -o "lowerdir=$tree/usr:/usr" peer /usr
mount --bind "$dir" /srv
ulimit -n 4096 # some daemons close them one by one when they start
"$@" &
child=$!
trap 'kill -TERM $child' TERM
while kill -0 $child 2>/dev/null; do wait $child && code=0 || code=$?; done
exit $code
