#!/usr/bin/env bash
# Builds our static binaries and the images around them; leaves alone what is up to date.
#
#   images.sh                     all: nginx, buggy-app, agent (and the aegisctl binary), cockpit, dashboard
#   images.sh nginx buggy-app     only these
#
# An image carries the hash of everything that went into it as a label; the same hash means nothing to do.
#   AEGIS_NGINX_BASE      an nginx image to build on, instead of the registry's or one made of Debian packages
#   AEGIS_NGINX_UPSTREAM  the image to ask the registry for (nginx:1.27-alpine)
#   AEGIS_DEBIAN_MIRROR   where Debian packages come from (default: what this machine's apt uses)
set -euo pipefail
# shellcheck source=compose/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

INPUTS_LABEL=io.aegisops.inputs
NGINX_UPSTREAM=${AEGIS_NGINX_UPSTREAM:-nginx:1.27-alpine}
PULL_SECONDS=8

STAGE=$(mktemp -d)
trap 'rm -rf "$STAGE"' EXIT

cargo_build() {
    local packages=() package log started=$SECONDS
    for package in "$@"; do packages+=(-p "$package"); done
    step "building $* (static, release)"
    have cc || apt_install "Rust links with the C compiler" build-essential
    # Cargo draws its own progress on a terminal; elsewhere a line every ten seconds shows that it goes on.
    if [ -t 2 ]; then
        (cd "$REPO" && cargo build --locked --release "${packages[@]}") || die "cargo could not build $*"
    else
        log="$STAGE/cargo.log"
        (cd "$REPO" && cargo build --locked --release "${packages[@]}") >"$log" 2>&1 &
        local pid=$! shown=$SECONDS
        while kill -0 "$pid" 2>/dev/null; do
            sleep 0.2
            if [ $((SECONDS - shown)) -ge 10 ]; then
                shown=$SECONDS
                note "$((SECONDS - started)) s, $(grep -c Compiling "$log" || true) crates so far"
            fi
        done
        wait "$pid" || {
            tail -n 40 "$log" >&2
            die "cargo could not build $*"
        }
    fi
    [ $((SECONDS - started)) -lt 2 ] || note "built in $((SECONDS - started)) s"
}

# A scratch image has no loader. RUSTFLAGS in the environment would push our flags aside without a word.
static_binary() {
    local path
    path=$(binary "$1")
    if ldd "$path" 2>/dev/null | grep -q '=>'; then
        die "$path is not static, so it cannot run in an image without libraries" \
            "RUSTFLAGS in the environment replaces the flags that make it so: unset it, or add -C target-feature=+crt-static"
    fi
    printf '%s\n' "$path"
}

label_of() { docker image inspect --format "{{index .Config.Labels \"$INPUTS_LABEL\"}}" "$1" 2>/dev/null || true; }

# The builder that every engine has; the other one where it is installed.
docker_build() {
    local log="$STAGE/build.log"
    docker buildx version >/dev/null 2>&1 || export DOCKER_BUILDKIT=0
    docker build "$@" >"$log" 2>&1 </dev/null || {
        tail -n 20 "$log" >&2
        die "docker could not build an image" "what it said is above"
    }
    # What the new image replaced, if nothing uses it any more.
    docker image prune --force --filter "label=$INPUTS_LABEL" >/dev/null 2>&1 || true
}

# image TAG DOCKERFILE EXTRA-INPUT FILE...: an image of these few files, unless it is up to date already.
image() {
    local tag=$1 dockerfile=$2 extra=$3 inputs context
    shift 3
    inputs=$({ printf '%s\n' "$extra"; cat "$dockerfile" "$@" | sha256sum; } | sha256sum | cut -d' ' -f1)
    if [ "$(label_of "$tag")" = "$inputs" ]; then
        note "$tag is up to date"
        return
    fi
    step "building the image $tag"
    context=$(mktemp -d -p "$STAGE")
    cp "$dockerfile" "$context/Dockerfile"
    cp "$@" "$context/"
    docker_build --label "$INPUTS_LABEL=$inputs" --tag "$tag" ${extra:+--build-arg "BASE=${extra%% *}"} "$context"
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

nginx_base_from_debian() {
    local started=$SECONDS log="$STAGE/mmdebstrap.log" root="$STAGE/nginx.tar" proxy sources
    have mmdebstrap || apt_install "to make the nginx base image from Debian packages" mmdebstrap
    step "making the nginx base image from Debian packages (about 10 s)"
    proxy=$(apt-config dump Acquire::http::Proxy 2>/dev/null || true)
    mapfile -t sources < <(debian_sources)
    # Only unpacked, not configured: nginx, the libraries it needs and what brings a configuration to it in one command
    # (controller/docker/src/script); no package manager.
    # shellcheck disable=SC2016
    as_root mmdebstrap --variant=extract --mode=root --include=nginx,busybox \
        --aptopt='APT::Install-Recommends "false"' ${proxy:+--aptopt="$proxy"} \
        --extract-hook='rm -rf "$1/usr/share/doc" "$1/usr/share/man" "$1/usr/share/locale" "$1/etc/nginx/conf.d" "$1/etc/nginx/sites-enabled" "$1/etc/nginx/modules-enabled"' \
        --extract-hook='for tool in sh head wc cp mv rm; do ln -s busybox "$1/bin/$tool" || exit; done' \
        --extract-hook='mkdir -p "$1/etc/nginx/conf.d" "$1/var/log/nginx" "$1/tmp" "$1/run" && chmod 1777 "$1/tmp" && chown 101:101 "$1/etc/nginx/conf.d"' \
        --extract-hook='ln -sf /dev/stderr "$1/var/log/nginx/error.log" && ln -sf /dev/stdout "$1/var/log/nginx/access.log"' \
        --extract-hook='printf "root:x:0:0:root:/:/usr/sbin/nologin\nnginx:x:101:101:nginx:/:/usr/sbin/nologin\n" >"$1/etc/passwd"' \
        --extract-hook='printf "root:x:0:\nnginx:x:101:\n" >"$1/etc/group"' \
        bookworm "$root" "${sources[@]}" >"$log" 2>&1 </dev/null || {
        tail -n 15 "$log" >&2
        die "mmdebstrap could not make the nginx base image" \
            "it needs a Debian mirror; name one: AEGIS_DEBIAN_MIRROR=http://… make up" \
            "or name an nginx image that the engine has: AEGIS_NGINX_BASE=… make up"
    }
    docker import --change 'ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin' "$root" aegisops/nginx-base:bookworm >/dev/null
    note "made in $((SECONDS - started)) s"
}

# Says which image to build on; makes it if there is none.
nginx_base() {
    local base
    if [ -n "${AEGIS_NGINX_BASE:-}" ]; then
        printf '%s\n' "$AEGIS_NGINX_BASE"
        return
    fi
    for base in aegisops/nginx-base:registry aegisops/nginx-base:bookworm; do
        ! docker image inspect "$base" >/dev/null 2>&1 || { printf '%s\n' "$base"; return; }
    done
    if docker image inspect "$NGINX_UPSTREAM" >/dev/null 2>&1 || {
        step "asking the registry for $NGINX_UPSTREAM (at most $PULL_SECONDS s)" >&2
        timeout "$PULL_SECONDS" docker pull -q "$NGINX_UPSTREAM" >/dev/null 2>&1 </dev/null
    }; then
        local context
        context=$(mktemp -d -p "$STAGE")
        cp "$COMPOSE_DIR/nginx/Dockerfile.registry" "$context/Dockerfile"
        docker_build --build-arg "UPSTREAM=$NGINX_UPSTREAM" --tag aegisops/nginx-base:registry "$context"
        printf 'aegisops/nginx-base:registry\n'
    else
        note "no registry answers" >&2
        nginx_base_from_debian >&2
        printf 'aegisops/nginx-base:bookworm\n'
    fi
}

nginx_image() {
    local base id
    base=$(nginx_base)
    id=$(docker image inspect --format '{{.Id}}' "$base" 2>/dev/null) ||
        die "the engine has no image $base" "AEGIS_NGINX_BASE names it; pull it or unset the variable"
    image aegisops/nginx:dev "$COMPOSE_DIR/nginx/Dockerfile" "$base $id" \
        "$COMPOSE_DIR/nginx/nginx.conf" "$COMPOSE_DIR/nginx/upstream.conf"
}

buggy_app_image() {
    local program
    program=$(static_binary buggy-app)
    image aegisops/buggy-app:dev "$COMPOSE_DIR/buggy-app/Dockerfile" '' "$program"
}

agent_image() {
    # The certificates that this machine trusts, for model providers over https.
    local certificates=/etc/ssl/certs/ca-certificates.crt program
    program=$(static_binary aegis-controller)
    [ -r "$certificates" ] || apt_install "the agent needs the certificate authorities" ca-certificates
    image aegisops/agent:dev "$COMPOSE_DIR/agent/Dockerfile" '' "$program" "$certificates"
}

dashboard_image() {
    local program
    program=$(static_binary aegis-dashboard)
    image aegisops/dashboard:dev "$COMPOSE_DIR/dashboard/Dockerfile" '' "$program"
}

cockpit_image() {
    local web="$REPO/cockpit-web" base id inputs context log="$STAGE/vite.log" tag=aegisops/cockpit:dev
    base=$(nginx_base)
    id=$(docker image inspect --format '{{.Id}}' "$base" 2>/dev/null) ||
        die "the engine has no image $base" "AEGIS_NGINX_BASE names it; pull it or unset the variable"
    inputs=$({
        printf '%s\n' "$id"
        cat "$COMPOSE_DIR"/cockpit/*
        cd "$web" && find src public index.html package-lock.json vite.config.ts tsconfig.json -type f ! -name '*.test.*' -print0 |
            LC_ALL=C sort -z | xargs -0 sha256sum
    } | sha256sum | cut -d' ' -f1)
    if [ "$(label_of "$tag")" = "$inputs" ]; then
        note "$tag is up to date"
        return
    fi
    "$COMPOSE_DIR/cockpit.sh" packages
    step "building the image $tag"
    context=$(mktemp -d -p "$STAGE")
    (cd "$web" && npm run --silent build -- --outDir "$context/dist" --emptyOutDir) >"$log" 2>&1 </dev/null || {
        tail -n 20 "$log" >&2
        die "the cockpit could not be built" "what vite said is above"
    }
    tar -C "$context/dist" --sort=name --owner=0 --group=0 --numeric-owner --mode=a+rX -cf "$context/site.tar" .
    rm -rf "$context/dist"
    cp "$COMPOSE_DIR"/cockpit/* "$context/"
    docker_build --label "$INPUTS_LABEL=$inputs" --tag "$tag" --build-arg "BASE=$base" "$context"
}

[ $# -gt 0 ] || set -- nginx buggy-app agent cockpit dashboard
packages=()
for name in "$@"; do
    case "$name" in
        nginx | cockpit) ;;
        buggy-app) packages+=(buggy-app) ;;
        agent) packages+=(aegis-controller aegisctl) ;;
        dashboard) packages+=(aegis-dashboard) ;;
        *) die "images.sh knows nginx, buggy-app, agent, cockpit and dashboard, not '$name'" ;;
    esac
done
engine_answers || die "no Docker engine answers" "start one with: compose/engine.sh"
if [ ${#packages[@]} -gt 0 ]; then
    rust_target
    cargo_build "${packages[@]}"
fi
for name in "$@"; do "${name//-/_}_image"; done
