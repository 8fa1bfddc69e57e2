#!/usr/bin/env bash
# A Docker engine for one test alone, that may be stopped and started at will: in a network of its own, so that it never
# meets the machine's engine, with its data in a folder of its own.
#
#   own-engine.sh run FOLDER COMMAND...   run COMMAND in a network of its own; it ends all that is left when COMMAND ends
#   own-engine.sh start FOLDER            (inside) start the engine at FOLDER/docker.sock and wait until it answers
#   own-engine.sh stop FOLDER             (inside) stop it, as a restart of its service would
#   own-engine.sh crash FOLDER            (inside) kill it and all of its containers, and forget what a reboot would
set -euo pipefail
# shellcheck source=compose/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../compose/lib.sh"

READY_SECONDS=60

answers() { DOCKER_HOST="unix://$1/docker.sock" docker version >/dev/null 2>&1; }

start() {
    local folder=$1
    # Where engine.sh put another iptables first for the machine's engine, this one needs it too.
    [ ! -d /run/aegisops/bin ] || PATH="/run/aegisops/bin:$PATH"
    # A namespace of containerd's own: where the machine has a containerd, its containers are none of ours.
    setsid dockerd --host "unix://$folder/docker.sock" --data-root "$folder/data" --exec-root "$folder/exec" \
        --pidfile "$folder/dockerd.pid" --containerd-namespace aegis-test \
        --containerd-plugins-namespace aegis-test-plugins >>"$folder/dockerd.log" 2>&1 </dev/null &
    wait_until "$READY_SECONDS" answers "$folder" || {
        tail -n 30 "$folder/dockerd.log" >&2
        die "an engine of the test's own does not answer within $READY_SECONDS s; its last lines are above"
    }
}

stop() {
    local folder=$1 pid
    pid=$(cat "$folder/dockerd.pid" 2>/dev/null) || return 0
    kill "$pid" 2>/dev/null || return 0
    ended() { ! is_process "$pid" dockerd; }
    wait_until 60 ended || die "dockerd (process $pid) did not end within 60 s" "its log: $folder/dockerd.log"
}

# Processes of the engine beside itself: its containerd, what holds its containers, and their first processes.
others() {
    local folder=$1 file
    DOCKER_HOST="unix://$folder/docker.sock" docker ps --quiet --no-trunc |
        DOCKER_HOST="unix://$folder/docker.sock" xargs --no-run-if-empty docker inspect --format '{{.State.Pid}}'
    for file in /proc/[0-9]*/cmdline; do
        tr '\0' ' ' <"$file" 2>/dev/null | grep -q "^[^ ]*containerd.* $folder/exec/" || continue
        file=${file%/cmdline}
        printf '%s\n' "${file#/proc/}"
    done
}

crash() {
    local folder=$1 pids mounted
    mapfile -t pids < <(others "$folder")
    # All at once: no part of it is left that could report how another one ended.
    kill -9 "$(cat "$folder/dockerd.pid")" "${pids[@]}" 2>/dev/null || true
    rm -f "$folder/dockerd.pid" "$folder/docker.sock"
    while read -r mounted; do
        # Those of a container go with its last process.
        umount --lazy "$mounted" 2>/dev/null || true
    done < <(awk -v below="$folder/" 'index($2, below) == 1 { print $2 }' /proc/mounts)
    # What a machine keeps in /run.
    rm -rf "$folder/exec"
}

run() {
    local folder=$1
    shift
    have ip || apt_install "a network of its own needs its loopback" iproute2
    # Everything inside ends with the command, however it ends. A containerd of the machine must not be found.
    # shellcheck disable=SC2016
    as_root unshare --net --mount --propagation private --pid --fork --mount-proc --kill-child \
        env PATH="$PATH" DOCKER_HOST="unix://$folder/docker.sock" AEGIS_TEST_ENGINE="$folder" bash -c '
            ip link set lo up
            [ ! -d /run/containerd ] || mount -t tmpfs tmpfs /run/containerd
            exec "$@"' own-engine "$@"
}

verb=${1:-}
shift || true
case "$verb" in
    run | start | stop | crash) "$verb" "$@" ;;
    *) die "own-engine.sh knows run, start, stop and crash, not '$verb'" ;;
esac
