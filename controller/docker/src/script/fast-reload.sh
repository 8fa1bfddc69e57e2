# Puts what standard input brings in the place of nginx's file $1, and has nginx check and load it: one command instead of
# three. $2: nginx's main configuration, $3: the global directives that it was started with. Each request is a line, how many bytes there are and a mark, and then the bytes. It
# is answered with what nginx said and a line of the mark and a code, and the next one is waited for.
# Code 0: signalled to reload; 70: nothing was touched; 71: refused, and the file is as it was; 72: accepted, but nginx could
# not be signalled; 73: refused, and the file could not be put back. It ends with 70, 73 and, with 74, when its input does.
umask 022
# Of this run alone: one that timed out may still be at work. The folder may be writable for others in the container: what
# stands in the way, a symbolic link above all, is never followed or written over (set -C creates with O_EXCL).
set -C
live=$1
main=$2
globals=$3
new="${live%/*}/.${live##*/}.$$-new"
old="${live%/*}/.${live##*/}.$$-old"
reload() {
    if ! { head -c "$bytes" >"$new" && [ "$(wc -c <"$new")" -eq "$bytes" ] && head -c "$(wc -c <"$live")" "$live" >"$old" && mv -f "$new" "$live"; }; then
        rm -f "$new" "$old"
        return 70
    fi
    if nginx -t -c "$main" -g "$globals" </dev/null; then
        rm -f "$old"
        nginx -s reload -c "$main" -g "$globals" </dev/null || return 72
    else
        mv -f "$old" "$live" || return 73
        return 71
    fi
}
while IFS=' ' read -r bytes mark; do
    case $bytes in
    '' | *[!0-9]*) exit 70 ;;
    esac
    reload 2>&1
    code=$?
    printf '\n%s %s\n' "$mark" "$code"
    case $code in
    70 | 73) exit "$code" ;;
    esac
done
exit 74
