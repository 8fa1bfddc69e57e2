# Puts standard input in the place of nginx's file $1, and has nginx check and load it: one command instead of three.
# $2: how many bytes there must be; $3: nginx's main configuration.
# Exit code 0: signalled to reload; 70: nothing was touched; 71: refused, and the file is as it was; 72: accepted, but nginx
# could not be signalled; 73: refused, and the file could not be put back.
umask 022
# Of this run alone: one that timed out may still be at work. The folder may be writable for others in the container: what
# stands in the way, a symbolic link above all, is never followed or written over (set -C creates with O_EXCL).
set -C
new="${1%/*}/.${1##*/}.$$-new"
old="${1%/*}/.${1##*/}.$$-old"
if ! { head -c "$2" >"$new" && [ "$(wc -c <"$new")" -eq "$2" ] && head -c "$(wc -c <"$1")" "$1" >"$old" && mv -f "$new" "$1"; }; then
    rm -f "$new" "$old"
    exit 70
fi
if nginx -t -c "$3"; then
    rm -f "$old"
    nginx -s reload -c "$3" || exit 72
else
    mv -f "$old" "$1" || exit 73
    exit 71
fi
