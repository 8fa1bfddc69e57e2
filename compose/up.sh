#!/usr/bin/env bash
# Starts the stack and waits until it is ready. Needs the engine and the images (engine.sh, images.sh).
set -euo pipefail
# shellcheck source=compose/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=compose/target.sh
. "$(dirname "${BASH_SOURCE[0]}")/target.sh"

READY_SECONDS=60
# container, variable that moves its port
PUBLISHED=(buggy-app-v2:AEGIS_APP_PORT aegis-agent:AEGIS_API_PORT aegis-lb:AEGIS_LB_PORT aegis-cockpit:AEGIS_COCKPIT_PORT
    aegis-dashboard:AEGIS_DASHBOARD_PORT)

ours() { [ "$(docker inspect --format '{{index .Config.Labels "com.docker.compose.project"}}' "$1" 2>/dev/null)" = "$PROJECT" ]; }

# What the stack publishes is HTTP: tokens and cookies could be read on the way.
check_bind() {
    case "$AEGIS_BIND" in 127.* | ::1 | localhost) return ;; esac
    [ "${AEGIS_INSECURE:-}" = true ] ||
        die "AEGIS_BIND=$AEGIS_BIND would publish cockpit and API unencrypted to others on the network" \
            "leave it at 127.0.0.1 and put a reverse proxy with TLS before port $AEGIS_COCKPIT_PORT" \
            "or say that the network is trusted: AEGIS_INSECURE=true AEGIS_BIND=$AEGIS_BIND make ${AEGIS_GOAL:-up}"
}

# A container of that name which is not ours is a bystander: it is named, never replaced.
check_names() {
    local entry name
    for entry in "${PUBLISHED[@]}"; do
        name=${entry%:*}
        if docker inspect --type container "$name" >/dev/null 2>&1 && ! ours "$name"; then
            die "there is a container called $name already, and it is not part of this stack" \
                "rename it (docker rename $name other) or remove it, then run this again"
        fi
    done
}

# The inodes of the sockets that listen on that port on an address which collides with AEGIS_BIND.
listeners() {
    local port=$1 hex bind
    hex=$(printf '%04X' "$port")
    bind=$(printf '%s' "$AEGIS_BIND" | awk -F. 'NF == 4 { printf "%02X%02X%02X%02X", $4, $3, $2, $1 }')
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v port="$hex" -v bind="$bind" '
        $4 == "0A" && split($2, at, ":") == 2 && at[2] == port &&
            (bind == "" || bind == "00000000" || at[1] == bind || at[1] ~ /^0+$/ || at[1] == "0000000000000000FFFF0000" bind) { print $10 }'
}

# Who holds a listening socket, as far as this user may know.
holder() {
    local inode=$1 fd pid
    fd=$(find /proc/[0-9]*/fd -maxdepth 1 -lname "socket:\[$inode\]" -print -quit 2>/dev/null || true)
    [ -n "$fd" ] || { printf 'a process that only root may inspect'; return; }
    pid=$(printf '%s' "$fd" | cut -d/ -f3)
    printf 'process %s (%s)' "$pid" "$(cat "/proc/$pid/comm" 2>/dev/null || printf '?')"
}

check_ports() {
    local entry name variable port seen=' ' taken inode by
    for entry in "${PUBLISHED[@]}"; do
        name=${entry%:*} variable=${entry#*:}
        port=${!variable}
        if ! [[ "$port" =~ ^[1-9][0-9]{0,4}$ ]] || [ "$port" -gt 65535 ]; then
            die "$variable is '$port', which is no port" "a port is a number from 1 to 65535: $variable=8080 make up"
        fi
        [[ "$seen" != *" $port "* ]] || die "$variable is $port, which another service of this stack has too" "choose another one"
        seen+="$port "
        # Our own container may hold its port already: a second `make up`.
        if docker port "$name" 2>/dev/null | grep -q ":$port\$"; then continue; fi
        taken=$(docker ps --filter "publish=$port" --format '{{.Names}}' | head -n 1)
        if [ -n "$taken" ]; then
            by="container $taken"
        else
            inode=$(listeners "$port" | head -n 1)
            [ -n "$inode" ] || continue
            by=$(holder "$inode")
        fi
        die "port $port, which $name needs, is taken by $by" \
            "free it, or move $name to another one: $variable=$((port < 55536 ? port + 10000 : port - 10000)) make ${AEGIS_GOAL:-up}"
    done
}

# The directory is kept between runs and may be edited by its owner: the agent runs as its owner.
prepare_state() {
    # Names of incidents and workloads are for its owner alone.
    [ -d "$AEGIS_STATE_DIR" ] || (umask 077 && mkdir -p "$AEGIS_STATE_DIR") 2>/dev/null || true
    mkdir -p "$SECRETS_DIR" 2>/dev/null || die "cannot make the state directory $AEGIS_STATE_DIR" \
        "choose one that you may write to: AEGIS_STATE_DIR=… make up"
    if [ "$(id -u)" -eq 0 ] && [ -n "${SUDO_UID:-}" ] && [ "$(stat -c %u "$AEGIS_STATE_DIR")" -eq 0 ]; then
        chown "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$AEGIS_STATE_DIR" "$SECRETS_DIR"
    fi
    AEGIS_UID=$(stat -c %u "$AEGIS_STATE_DIR")
    [ "$(id -u)" -eq 0 ] || [ "$(id -u)" -eq "$AEGIS_UID" ] ||
        die "the state directory $AEGIS_STATE_DIR belongs to $(stat -c %U "$AEGIS_STATE_DIR"), not to you" \
            "run this as that user, or choose another one: AEGIS_STATE_DIR=… make up"
    chmod 700 "$SECRETS_DIR"
    if [ ! -s "$WEBHOOK_TOKEN_FILE" ]; then
        (umask 077 && head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$WEBHOOK_TOKEN_FILE")
        chown "$AEGIS_UID" "$WEBHOOK_TOKEN_FILE"
    fi
    # The dashboard runs as a user that owns nothing here: it may read the file, and no other user comes past .secrets.
    mkdir -p "${DASHBOARD_TOKEN_FILE%/*}" && chown "$AEGIS_UID" "${DASHBOARD_TOKEN_FILE%/*}"
    chmod 755 "${DASHBOARD_TOKEN_FILE%/*}"
    AEGIS_WEBHOOK_TOKEN=$(cat "$WEBHOOK_TOKEN_FILE")
    export AEGIS_UID AEGIS_WEBHOOK_TOKEN
}

find_socket() {
    AEGIS_DOCKER_SOCK=$(docker_socket)
    [ -S "$AEGIS_DOCKER_SOCK" ] ||
        die "the agent needs the engine's socket, and docker is reached through ${DOCKER_HOST:-the context $(docker context show)}" \
            "use an engine on this machine, or name its socket: AEGIS_DOCKER_SOCK=/path make up"
    DOCKER_GID=$(stat -L -c %g "$AEGIS_DOCKER_SOCK")
    # A rootless engine maps the user who runs it to root inside, owner of the socket and of the state directory alike.
    if docker info --format '{{.SecurityOptions}}' 2>/dev/null | grep -q rootless; then
        AEGIS_UID=0 DOCKER_GID=0
    fi
    export AEGIS_DOCKER_SOCK DOCKER_GID AEGIS_UID
}

as_admin() { AEGIS_SERVER=$SERVER AEGIS_TOKEN=$(cat "$ADMIN_TOKEN_FILE") "$AEGISCTL" "$@"; }

# A token for the dashboard, which reads what that shows and nothing else: another one at each start. The dashboard reads
# the file at every request.
give_dashboard_its_token() {
    local made name=aegis-dashboard
    as_admin token revoke "$name" >/dev/null 2>&1 || true
    made=$(as_admin token create "$name" --role dashboard --quiet) ||
        die "the controller makes no token for the dashboard" "what aegisctl said is above; all of it: docker logs aegis-agent"
    (umask 022 && printf '%s\n' "$made" >"$DASHBOARD_TOKEN_FILE.new")
    mv -f "$DASHBOARD_TOKEN_FILE.new" "$DASHBOARD_TOKEN_FILE"
}

# restarts CONTAINER: how often it was restarted so far, or nothing when there is none of that name.
restarts() { docker inspect --format '{{.RestartCount}}' "$1" 2>/dev/null || true; }

# ready CONTAINER PORT PATH: waits for a 200; gives up early when the container keeps dying.
ready() {
    local name=$1 port=$2 path=$3 deadline=$((SECONDS + READY_SECONDS)) why='' before now
    before=$(restarts "$name")
    until http GET "$port" "$path" >/dev/null; do
        now=$(restarts "$name")
        if [ -z "$now" ]; then
            why="the container $name is gone"
        elif [ "$now" -gt $((${before:-0} + 2)) ]; then
            why="$name ends as soon as it is started"
        elif [ "$SECONDS" -ge "$deadline" ]; then
            why="$name did not answer 200 on $path (port $port) within $READY_SECONDS s"
        fi
        if [ -n "$why" ]; then
            docker logs --tail 20 "$name" >&2 || true
            http GET "$port" "$path" >&2 || true
            die "$why" "its last lines are above; all of them: docker logs $name" "to remove the stack: make down"
        fi
        sleep 0.1
    done
}

# Where no peer is named it would be every one: the controller would not start.
check_anonymous() {
    [ -z "${AEGIS_ANONYMOUS_ROLE:-}" ] || [ -n "${AEGIS_ANONYMOUS_FROM:-}" ] ||
        die "AEGIS_ANONYMOUS_ROLE=$AEGIS_ANONYMOUS_ROLE would give everybody who reaches the controller that role" \
            "name who is meant: AEGIS_ANONYMOUS_FROM=192.168.1.0/24, or 0.0.0.0/0,::/0 for everybody"
}

engine_answers || die "no Docker engine answers" "start one with: compose/engine.sh"
check_bind
check_anonymous
prepare_state
find_socket
check_names
check_ports
step "starting the stack"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
compose up --detach --remove-orphans >"$log" 2>&1 </dev/null || {
    tail -n 20 "$log" >&2
    die "compose could not start the stack" "what it said is above; to remove what it made: make down"
}
rust_target
AEGISCTL=$(binary aegisctl)
ready aegis-agent "$AEGIS_API_PORT" /readyz
SERVER="http://$(reach):$AEGIS_API_PORT"
give_dashboard_its_token
ready buggy-app-v2 "$AEGIS_APP_PORT" /health
ready aegis-lb "$AEGIS_LB_PORT" /lb-health
ready aegis-cockpit "$AEGIS_COCKPIT_PORT" /cockpit-health
ready aegis-dashboard "$AEGIS_DASHBOARD_PORT" /healthz
declare_target

at=$(reach)
good "ready"
cat <<TEXT
    cockpit         $(cockpit_link)
                    a link is good once and for 15 minutes; another one: aegisctl token once; or log in with make token
    dashboard       http://$at:$AEGIS_DASHBOARD_PORT/
    controller      http://$at:$AEGIS_API_PORT/docs
    load balancer   http://$at:$AEGIS_LB_PORT/
    patient         http://$at:$AEGIS_APP_PORT/health
    state           $AEGIS_STATE_DIR

    export AEGIS_SERVER=http://$at:$AEGIS_API_PORT AEGIS_TOKEN=\$(make -s token)
    aegisctl apply -f examples/quickstart      (make install puts aegisctl on the PATH)
TEXT
