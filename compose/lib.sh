# shellcheck shell=bash
# What the compose/*.sh scripts share: where things are, how they speak, and how they reach Docker.
# Sourced, never run. Changes nothing by itself.
# shellcheck disable=SC2034

# Debian keeps these out of the PATH of ordinary users.
PATH="$PATH:/usr/sbin:/sbin"
REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
COMPOSE_DIR="$REPO/compose"

# Everything that can be moved by a variable is named here once.
export AEGIS_STATE_DIR="${AEGIS_STATE_DIR:-$REPO/state}"
export AEGIS_BIND="${AEGIS_BIND:-127.0.0.1}"
export AEGIS_APP_PORT="${AEGIS_APP_PORT:-8000}"
export AEGIS_API_PORT="${AEGIS_API_PORT:-8001}"
export AEGIS_LB_PORT="${AEGIS_LB_PORT:-80}"
export AEGIS_COCKPIT_PORT="${AEGIS_COCKPIT_PORT:-3000}"
export AEGIS_DASHBOARD_PORT="${AEGIS_DASHBOARD_PORT:-8501}"
# The containers have other names than the machine that people reach them by.
export AEGIS_HOST_NAME="${AEGIS_HOST_NAME:-$(uname -n)}"
case "$AEGIS_STATE_DIR" in /*) ;; *) AEGIS_STATE_DIR="$PWD/$AEGIS_STATE_DIR" ;; esac

PROJECT=aegisops
SECRETS_DIR="$AEGIS_STATE_DIR/.secrets"
ADMIN_TOKEN_FILE="$SECRETS_DIR/admin-token"
WEBHOOK_TOKEN_FILE="$SECRETS_DIR/webhook-token"
# A folder of its own, which alone is mounted into the dashboard.
DASHBOARD_TOKEN_FILE="$SECRETS_DIR/dashboard/token"
INSTANCE_FILE="$AEGIS_STATE_DIR/.instance-id"

# An engine belongs to the machine, not to a checkout, so the note that we started it does too.
# Both are gone after a reboot, as the process is.
ENGINE_RECORD=/run/aegisops/engine
ENGINE_LOG=/var/log/aegisops-dockerd.log

# Whether a person reads along, and no log.
ON_TERMINAL=''
[ ! -t 1 ] || ON_TERMINAL=yes
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    BOLD=$'\e[1m' DIM=$'\e[2m' RED=$'\e[31m' GREEN=$'\e[32m' YELLOW=$'\e[33m' RESET=$'\e[0m'
else
    BOLD='' DIM='' RED='' GREEN='' YELLOW='' RESET=''
fi

say() { printf '%s\n' "$*"; }
step() { printf '%s==>%s %s\n' "$BOLD" "$RESET" "$*"; }
note() { printf '    %s%s%s\n' "$DIM" "$*" "$RESET"; }
good() { printf '%s==>%s %s\n' "$GREEN" "$RESET" "$*"; }
warn() { printf '%swarning:%s %s\n' "$YELLOW" "$RESET" "$*" >&2; }

# die WHAT [WHAT TO DO...]: one line for what happened, one for each thing to do about it.
die() {
    printf '%serror:%s %s\n' "$RED" "$RESET" "$1" >&2
    shift
    local line
    for line in "$@"; do printf '       %s\n' "$line" >&2; done
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        die "this needs root and there is no sudo: $*" "run it as root, or install sudo"
    fi
}

# apt_install WHY PACKAGE...
apt_install() {
    local why=$1 log
    shift
    have apt-get || die "$why needs $*, and this machine has no apt-get" \
        "install $* with your system's package manager, then run this again"
    step "installing $* ($why)"
    log=$(mktemp)
    if ! { as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"; } \
        >"$log" 2>&1 </dev/null; then
        tail -n 15 "$log" >&2
        die "apt-get could not install $*" "the whole log is in $log"
    fi
    rm -f "$log"
}

# wait_until SECONDS COMMAND...: polls every 0.1 s; false when the time is over.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}

# Static binaries, so that a scratch image can hold them. The Makefile exports the same two.
rust_target() {
    [ -x "$HOME/.cargo/bin/cargo" ] && PATH="$PATH:$HOME/.cargo/bin"
    have cargo || die "there is no cargo here, and our programs are built with it" \
        "install Rust (see https://rustup.rs), then run this again"
    if [ -z "${CARGO_BUILD_TARGET:-}" ]; then
        CARGO_BUILD_TARGET=$(rustc -vV | sed -n 's/^host: //p')
        export CARGO_BUILD_TARGET
    fi
    local var
    var=CARGO_TARGET_$(printf '%s' "$CARGO_BUILD_TARGET" | tr 'a-z-' 'A-Z_')_RUSTFLAGS
    [ -n "${!var:-}" ] || export "$var=-C target-feature=+crt-static"
}

# Where cargo puts a program of ours. After rust_target.
binary() { printf '%s/%s/release/%s\n' "$(cd "$REPO" && realpath -m "${CARGO_TARGET_DIR:-target}")" "$CARGO_BUILD_TARGET" "$1"; }

# The socket the docker client talks to, as a path; nothing when the engine is reached another way.
docker_socket() {
    local host
    if [ -n "${AEGIS_DOCKER_SOCK:-}" ]; then
        printf '%s\n' "$AEGIS_DOCKER_SOCK"
        return
    fi
    host="${DOCKER_HOST:-$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null || true)}"
    case "${host:-unix:///var/run/docker.sock}" in
        unix://*) printf '%s\n' "${host:-unix:///var/run/docker.sock}" | sed 's|^unix://||' ;;
    esac
}

engine_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# is_process PID NAME: whether that process lives (a zombie does not) and is really that program.
is_process() {
    local stat
    [ -n "$1" ] && stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    case "$stat" in
        "$1 ($2) "[ZXx]*) return 1 ;;
        "$1 ($2) "*) return 0 ;;
        *) return 1 ;;
    esac
}

# runs NAME: whether any living process is that program.
runs() {
    local dir
    for dir in /proc/[0-9]*; do
        ! is_process "${dir#/proc/}" "$1" || return 0
    done
    return 1
}

# The start time of a process in clock ticks: with the pid it names one process for ever.
process_start() { sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# compose ARGUMENT...: whichever compose there is, on our file and project.
compose() {
    if docker compose version >/dev/null 2>&1; then
        docker compose --project-name "$PROJECT" --file "$COMPOSE_DIR/compose.yaml" "$@"
    else
        docker-compose --project-name "$PROJECT" --file "$COMPOSE_DIR/compose.yaml" "$@"
    fi
}

# Where this machine reaches what is published: an address that means "all" is not one to connect to.
reach() {
    case "$AEGIS_BIND" in
        0.0.0.0 | ::) printf '127.0.0.1\n' ;;
        *) printf '%s\n' "$AEGIS_BIND" ;;
    esac
}

# http METHOD PORT PATH: prints the body; true on 200. By bash alone, as a fresh machine has no curl.
http() {
    local host answer
    host=$(reach)
    # shellcheck disable=SC2016
    answer=$(timeout 5 bash -c '
        exec 3<>"/dev/tcp/$2/$3"
        printf "%s %s HTTP/1.0\r\nHost: %s:%s\r\nContent-Length: 0\r\n\r\n" "$1" "$4" "$2" "$3" >&3
        cat <&3' http "$1" "$host" "$2" "$3" 2>/dev/null) || return 1
    printf '%s\n' "${answer#*$'\r\n\r\n'}"
    [[ "$answer" == HTTP/1.[01]\ 200* ]]
}

# json_number FIELD: the first number of that name in the JSON on standard input.
json_number() { sed -n "s/.*\"$1\":\([0-9.]*\).*/\1/p"; }

# A link that logs a browser into the cockpit once, as the admin. Needs rust_target and the built aegisctl.
# A link that logs its reader in as an admin: only for a person who looks on, not for a log.
cockpit_link() {
    local at cockpit
    at=$(reach)
    cockpit="http://$at:$AEGIS_COCKPIT_PORT"
    if [ -z "$ON_TERMINAL" ]; then
        printf '%s/      (aegisctl token once makes a link that logs in)\n' "$cockpit"
        return
    fi
    AEGIS_TOKEN=$(cat "$ADMIN_TOKEN_FILE" 2>/dev/null) AEGIS_SERVER="http://$at:$AEGIS_API_PORT" \
        "$(binary aegisctl)" token once --url "$cockpit/api" 2>/dev/null ||
        printf '%s/      (make token prints the token for it)\n' "$cockpit"
}
