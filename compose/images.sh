#!/usr/bin/env bash
# Builds our static binaries and the images around them; leaves alone what is up to date.
#
#   images.sh                     all: nginx, buggy-app, agent (and the aegisctl binary), cockpit, dashboard
#   images.sh nginx buggy-app     only these
#   images.sh nginx-debian        a load balancer on Debian's older nginx (aegisops/nginx:debian), for tests
#
# An image carries the hash of everything that went into it as a label; the same hash means nothing to do.
#   AEGIS_NGINX_IMAGE     an nginx image to build on, such as nginx:stable, instead of our own
#   AEGIS_DEBIAN_MIRROR   where Debian's nginx comes from (default: what this machine's apt uses)
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=compose/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

INPUTS_LABEL=io.aegisops.inputs
PULL_SECONDS=120

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

# Says which image a built base has; makes it unless it is up to date.
built_base() {
    local tag=aegisops/nginx-base:$1 inputs root="$STAGE/nginx-$1.tar"
    inputs=$(case "$1" in source) "$COMPOSE_DIR/nginx/base.sh" inputs ;; *) sha256sum "$COMPOSE_DIR/nginx/base.sh" | cut -d' ' -f1 ;; esac)
    if [ "$(label_of "$tag")" != "$inputs" ]; then
        "$COMPOSE_DIR/nginx/base.sh" "$1" "$root" >&2
        docker import --change 'ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin' --change "LABEL $INPUTS_LABEL=$inputs" "$root" "$tag" >/dev/null
        rm -f "$root"
        docker image prune --force --filter "label=$INPUTS_LABEL" >/dev/null 2>&1 || true
    fi
    printf '%s\n' "$tag"
}

# Says which image to build on: our own, or another one that is named, fitted to what the controller does to it.
nginx_base() {
    local named=${AEGIS_NGINX_IMAGE:-} id inputs tag=aegisops/nginx-base:named context
    if [ -z "$named" ]; then
        built_base source
        return
    fi
    if ! docker image inspect "$named" >/dev/null 2>&1; then
        step "pulling $named" >&2
        timeout "$PULL_SECONDS" docker pull -q "$named" >/dev/null </dev/null ||
            die "the engine has no image $named and cannot pull it" "AEGIS_NGINX_IMAGE names it: make or pull it, or unset the variable"
    fi
    id=$(docker image inspect --format '{{.Id}}' "$named")
    inputs=$(printf '%s\n' "$id" | cat - "$COMPOSE_DIR/nginx/Dockerfile.named" | sha256sum | cut -d' ' -f1)
    if [ "$(label_of "$tag")" != "$inputs" ]; then
        context=$(mktemp -d -p "$STAGE")
        cp "$COMPOSE_DIR/nginx/Dockerfile.named" "$context/Dockerfile"
        docker_build --build-arg "NAMED=$named" --label "$INPUTS_LABEL=$inputs" --tag "$tag" "$context"
    fi
    printf '%s\n' "$tag"
}

# nginx_on TAG BASE: the load balancer on this base; without TCP where that nginx has no stream module in itself.
nginx_on() {
    local tag=$1 base=$2 id frame
    id=$(docker image inspect --format '{{.Id}}' "$base")
    frame=$(mktemp -d -p "$STAGE")/nginx.conf
    if docker run --rm --network none --entrypoint nginx "$base" -V 2>&1 | grep -qE -- ' --with-stream( |$)'; then
        cp "$COMPOSE_DIR/nginx/nginx.conf" "$frame"
    else
        sed '/^stream {/,/^}/d' "$COMPOSE_DIR/nginx/nginx.conf" >"$frame"
    fi
    image "$tag" "$COMPOSE_DIR/nginx/Dockerfile" "$base $id" \
        "$frame" "$COMPOSE_DIR/nginx/upstream.conf" "$COMPOSE_DIR/nginx/stream.conf"
}

nginx_image() {
    local base
    base=$(nginx_base)
    nginx_on aegisops/nginx:dev "$base"
}

# An old nginx beside it, for tests.
nginx_debian_image() {
    local base
    base=$(built_base debian)
    nginx_on aegisops/nginx:debian "$base"
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
    id=$(docker image inspect --format '{{.Id}}' "$base")
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
        nginx | nginx-debian | cockpit) ;;
        buggy-app) packages+=(buggy-app) ;;
        agent) packages+=(aegis-controller aegisctl) ;;
        dashboard) packages+=(aegis-dashboard) ;;
        *) die "images.sh knows nginx, nginx-debian, buggy-app, agent, cockpit and dashboard, not '$name'" ;;
    esac
done
for variable in AEGIS_NGINX_BASE AEGIS_NGINX_UPSTREAM; do
    [ -z "${!variable:-}" ] || die "$variable is not read any more" "an image to build on is named with AEGIS_NGINX_IMAGE"
done
engine_answers || die "no Docker engine answers" "start one with: compose/engine.sh"
if [ ${#packages[@]} -gt 0 ]; then
    rust_target
    cargo_build "${packages[@]}"
fi
for name in "$@"; do "${name//-/_}_image"; done
