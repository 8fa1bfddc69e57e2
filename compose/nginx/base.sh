#!/usr/bin/env bash
# Makes the root of an image that holds nginx, the shell that brings a configuration to it in one command
# (controller/docker/src/script) and nothing else, as a tar. Knows nothing of Docker.
#
#   base.sh source OUT.tar   the current stable nginx, compiled from source, static
#   base.sh debian OUT.tar   Debian 12's own package: an old nginx, for tests
#   base.sh inputs           what the first is made of, one line; another line means that it must be made again
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=compose/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

HERE="$COMPOSE_DIR/nginx"
LIBRARIES=(libpcre2-dev libssl-dev zlib1g-dev)
# What the command in nginx's container uses, and the Dockerfiles here.
TOOLS="sh head wc cp mv rm chown"
PASSWD=$'root:x:0:0:root:/:/usr/sbin/nologin\nnginx:x:101:101:nginx:/:/usr/sbin/nologin\n'
GROUP=$'root:x:0:\nnginx:x:101:\n'

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

installed() { dpkg-query --show --showformat '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed; }

libraries() {
    local missing=() library
    have dpkg-query || die "nginx is compiled with Debian's libraries, and this machine has no dpkg" \
        "name an nginx image instead: AEGIS_NGINX_IMAGE=nginx:stable make up"
    for library in "${LIBRARIES[@]}"; do installed "$library" || missing+=("$library"); done
    [ ${#missing[@]} -eq 0 ] || apt_install "nginx is compiled from source" "${missing[@]}"
    have cc && have make || apt_install "nginx is compiled from source" build-essential
}

# Security updates of the libraries are inputs: they are in the program.
inputs() {
    libraries >&2
    {
        cat "$HERE/source/Cargo.lock" "$HERE/configure" "$HERE/base.sh"
        dpkg-query --show "${LIBRARIES[@]}"
    } | sha256sum | cut -d' ' -f1
}

# Where cargo put the source. It checks what it fetches against Cargo.lock.
fetched() {
    local host manifest
    rust_target
    host=$(rustc -vV | sed -n 's/^host: //p')
    manifest=$(cd "$HERE/source" && cargo metadata --quiet --locked --format-version 1 --filter-platform "$host" |
        grep -o '"manifest_path":"[^"]*/nginx-src-[^"/]*/Cargo.toml"' | cut -d'"' -f4)
    [ -d "${manifest%/*}/nginx/src" ] || die "cargo has no source of nginx" "what it said is above"
    printf '%s\n' "${manifest%/*}/nginx"
}

compile() {
    local source options log="$WORK/build.log" started=$SECONDS
    libraries
    step "compiling nginx from source (about 20 s)"
    source=$(fetched)
    cp -r "$source" "$WORK/nginx" && chmod -R u+w "$WORK/nginx"
    mapfile -t options <"$HERE/configure"
    # No flags of the caller's: the same source makes the same program.
    (cd "$WORK/nginx" && unset CFLAGS LDFLAGS MAKEFLAGS MFLAGS MAKELEVEL && auto/configure "${options[@]}" &&
        make -j "$(nproc)") >"$log" 2>&1 </dev/null &
    local pid=$! shown=$SECONDS
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.2
        if [ $((SECONDS - shown)) -ge 10 ]; then
            shown=$SECONDS
            note "$((SECONDS - started)) s, $(find "$WORK/nginx/objs" -name '*.o' 2>/dev/null | wc -l) objects so far"
        fi
    done
    wait "$pid" || {
        tail -n 20 "$log" >&2
        die "nginx could not be compiled" "what the compiler said is above" \
            "or name an nginx image: AEGIS_NGINX_IMAGE=nginx:stable make up"
    }
    strip "$WORK/nginx/objs/nginx"
    note "compiled in $((SECONDS - started)) s"
}

# A static busybox: this machine's, or the one out of Debian's package, which would push another one off this machine.
static_busybox() {
    local out=$1 found
    found=$(type -P busybox || true)
    if [ -n "$found" ] && ! ldd "$found" >/dev/null 2>&1; then
        cp -L "$found" "$out"
        return
    fi
    have apt-get || die "nginx's image needs a static busybox, and this machine has no apt-get to fetch one" "install one"
    step "fetching a static busybox"
    local log="$WORK/apt.log"
    (
        cd "$WORK"
        apt-get download -q busybox-static || { as_root apt-get update -q && apt-get download -q busybox-static; }
        mkdir box && dpkg-deb --extract busybox-static_*.deb box
    ) >"$log" 2>&1 </dev/null || {
        tail -n 10 "$log" >&2
        die "apt-get could not fetch busybox-static" "what it said is above"
    }
    cp "$WORK/box/bin/busybox" "$out"
}

# The same places as in nginx's own images.
from_source() {
    local out=$1 root="$WORK/root" tool
    static_busybox "$WORK/busybox"
    compile
    mkdir -p "$root"/{bin,tmp,run,var/log/nginx,var/cache,usr/sbin,usr/share/licenses/nginx,etc/nginx/conf.d}
    mkdir "$root/var/cache/nginx"
    cp "$WORK/busybox" "$root/bin/busybox"
    for tool in $TOOLS; do ln -s busybox "$root/bin/$tool"; done
    cp "$WORK/nginx/objs/nginx" "$root/usr/sbin/nginx"
    cp "$WORK/nginx/LICENSE" "$root/usr/share/licenses/nginx/"
    (cd "$WORK/nginx/conf" && cp nginx.conf mime.types fastcgi_params uwsgi_params scgi_params "$root/etc/nginx/")
    ln -s ../run "$root/var/run"
    ln -s /dev/stderr "$root/var/log/nginx/error.log"
    ln -s /dev/stdout "$root/var/log/nginx/access.log"
    printf '%s' "$PASSWD" >"$root/etc/passwd"
    printf '%s' "$GROUP" >"$root/etc/group"
    chmod -R u=rwX,go=rX "$root" && chmod 755 "$root/bin/busybox" "$root/usr/sbin/nginx" && chmod 1777 "$root/tmp"
    # Who owns what is written here by number, so that this needs no root. Nginx's user may write its configuration.
    local its_own=(./etc/nginx/conf.d ./var/cache/nginx)
    tar -C "$root" --sort=name --numeric-owner --owner=0 --group=0 "${its_own[@]/#/--exclude=}" -cf "$out" .
    tar -C "$root" --numeric-owner --owner=101 --group=101 -rf "$out" "${its_own[@]}"
}

# The same mirror that this machine's apt uses for bookworm, so that a proxy or a local mirror is honoured here too.
debian_sources() {
    local found
    if [ -n "${AEGIS_DEBIAN_MIRROR:-}" ]; then
        printf 'deb %s bookworm main\n' "$AEGIS_DEBIAN_MIRROR"
        return
    fi
    # shellcheck disable=SC2016
    found=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' 2>/dev/null |
        awk '$2 == "bookworm" || $2 == "bookworm-security" || $2 == "bookworm-updates" { print "deb", $1, $2, "main" }' |
        sort -u)
    case "$found" in
        *" bookworm main"*) printf '%s\n' "$found" ;;
        *)
            printf 'deb %s bookworm main\n' http://deb.debian.org/debian
            printf 'deb %s bookworm-security main\n' http://deb.debian.org/debian-security
            ;;
    esac
}

from_debian() {
    local out=$1 started=$SECONDS log="$WORK/mmdebstrap.log" proxy sources
    have mmdebstrap || apt_install "to make the nginx base image from Debian packages" mmdebstrap
    step "making the nginx base image from Debian packages (about 10 s)"
    proxy=$(apt-config dump Acquire::http::Proxy 2>/dev/null || true)
    mapfile -t sources < <(debian_sources)
    # Only unpacked, not configured: nginx, the libraries it needs and a shell; no package manager.
    # shellcheck disable=SC2016
    as_root env TOOLS="$TOOLS" PASSWD="$PASSWD" GROUP="$GROUP" mmdebstrap --variant=extract --mode=root --include=nginx,busybox \
        --aptopt='APT::Install-Recommends "false"' ${proxy:+--aptopt="$proxy"} \
        --extract-hook='rm -rf "$1/usr/share/doc" "$1/usr/share/man" "$1/usr/share/locale" "$1/etc/nginx/conf.d" "$1/etc/nginx/sites-enabled" "$1/etc/nginx/modules-enabled"' \
        --extract-hook='for tool in $TOOLS; do ln -sf busybox "$1/bin/$tool" || exit; done' \
        --extract-hook='mkdir -p "$1/etc/nginx/conf.d" "$1/var/log/nginx" "$1/tmp" "$1/run" && chmod 1777 "$1/tmp" && chown 101:101 "$1/etc/nginx/conf.d"' \
        --extract-hook='ln -sf /dev/stderr "$1/var/log/nginx/error.log" && ln -sf /dev/stdout "$1/var/log/nginx/access.log"' \
        --extract-hook='printf %s "$PASSWD" >"$1/etc/passwd" && printf %s "$GROUP" >"$1/etc/group"' \
        bookworm "$out" "${sources[@]}" >"$log" 2>&1 </dev/null || {
        tail -n 15 "$log" >&2
        die "mmdebstrap could not make the nginx base image" "it needs a Debian mirror; name one: AEGIS_DEBIAN_MIRROR=http://…"
    }
    note "made in $((SECONDS - started)) s"
}

case "${1:-}" in
    inputs) inputs ;;
    source) from_source "${2:?the tar to write}" ;;
    debian) from_debian "${2:?the tar to write}" ;;
    *) die "base.sh knows source, debian and inputs, not '${1:-}'" ;;
esac
