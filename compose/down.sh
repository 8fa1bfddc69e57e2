#!/usr/bin/env bash
# Removes what the stack and its controller made: containers, replicas, network, volumes; then the engine, if we started
# it. The state directory stays. Works however much of it is there, and by labels alone, so it needs no compose.
set -euo pipefail
# shellcheck source=compose/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

STACK_LABEL="com.docker.compose.project=$PROJECT"

# remove KIND LABEL: everything of that kind which carries exactly this label.
remove() {
    local kind=$1 label=$2 ids names
    case "$kind" in
        container) mapfile -t ids < <(docker ps --all --quiet --filter "label=$label") ;;
        *) mapfile -t ids < <(docker "$kind" ls --quiet --filter "label=$label") ;;
    esac
    [ ${#ids[@]} -gt 0 ] || return 0
    case "$kind" in
        container)
            names=$(docker ps --all --format '{{.Names}}' --filter "label=$label" | sort | tr '\n' ' ')
            step "removing the containers $names"
            # Gone in between, by its own restart policy or another hand, is as good.
            docker rm --force --volumes "${ids[@]}" >/dev/null 2>&1 || true
            none_left() { [ -z "$(docker ps --all --quiet --filter "label=$label")" ]; }
            wait_until 10 none_left || warn "not gone yet: $(docker ps --all --format '{{.Names}}' --filter "label=$label" | tr '\n' ' ')"
            ;;
        network)
            step "removing the network"
            docker network rm "${ids[@]}" >/dev/null 2>&1 || {
                names=$(docker network inspect --format '{{range .Containers}}{{.Name}} {{end}}' "${ids[@]}" 2>/dev/null || true)
                warn "the network stays, as it is in use${names:+ by: $names}"
            }
            ;;
        volume)
            step "removing the volume"
            docker volume rm "${ids[@]}" >/dev/null 2>&1 || warn "a volume stays, as it is in use: ${ids[*]}"
            ;;
    esac
}

# The controller marks what it makes with the id of its state directory; another controller's is not ours to remove.
remove_controllers_own() {
    local instance names
    [ -r "$INSTANCE_FILE" ] || return 0
    instance=$(tr -d '[:space:]' <"$INSTANCE_FILE")
    [[ "$instance" =~ ^[A-Za-z0-9._-]+$ ]] || return 0
    # The label alone is no proof: an image that was committed from a replica brings it along. Ours have the names that
    # they were made under.
    mapfile -t names < <(docker ps --all --filter "label=io.aegisops.instance=$instance" \
        --format '{{.Names}} {{.Label "io.aegisops.workload"}} {{.Label "io.aegisops.name"}}' |
        awk '$3 == $1 || ($3 == "" && index($1, $2 "-replica-") == 1) { print $1 }' | sort)
    [ ${#names[@]} -gt 0 ] || return 0
    step "removing the containers ${names[*]}"
    docker rm --force --volumes "${names[@]}" >/dev/null 2>&1 || true
}

if have docker && engine_answers; then
    # First the controller, so that it does not bring back what goes; it gets time to write what it knows.
    agent=$(docker ps --quiet --filter "label=$STACK_LABEL" --filter name='^/aegis-agent$')
    [ -z "$agent" ] || docker stop --time 10 "$agent" >/dev/null 2>&1 || true
    remove_controllers_own
    remove container "$STACK_LABEL"
    remove network "$STACK_LABEL"
    remove volume "$STACK_LABEL"
else
    socket=$(docker_socket)
    if [ -n "$socket" ] && [ -S "$socket" ] && [ ! -w "$socket" ]; then
        die "you may not use the Docker socket $socket, so nothing was removed" \
            "run this as a member of its group: $(stat -c %G "$socket")"
    fi
    note "no Docker engine answers, so nothing of the stack runs"
fi
"$COMPOSE_DIR/engine.sh" stop
good "down; the state stays in $AEGIS_STATE_DIR"
