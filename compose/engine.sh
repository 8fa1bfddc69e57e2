#!/usr/bin/env bash
# Makes sure that a Docker engine answers and that some form of compose is there.
# Uses what `docker` reaches already; otherwise installs Debian's docker.io and starts dockerd.
#
#   engine.sh           make sure of both
#   engine.sh stop      stop the engine, if it was this script that started it and no other process uses it
#
# An engine that this script started is noted in /run/aegisops/engine (pid, start time, log).
set -euo pipefail
# shellcheck source=compose/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

READY_SECONDS=45

install_docker() {
    have docker && have dockerd && return
    # Debian 12 has the client inside docker.io; from 13 on it is a package of its own.
    apt_install "there is no Docker here" docker.io iptables ca-certificates
    have docker || apt_install "the docker client" docker-cli
}

# A socket that answers "permission denied" belongs to a running engine: it needs a right, not a start.
allow_me() {
    local socket
    socket=$(docker_socket)
    [ "$(id -u)" -ne 0 ] && [ -S "$socket" ] && [ ! -w "$socket" ] || return 0
    have sudo || die "you may not use the Docker socket $socket" \
        "have an administrator run: usermod -aG docker $(id -un)   (then log in again)"
    have setfacl || apt_install "to let you use the Docker socket" acl
    note "letting $(id -un) use $socket until the engine restarts (for good: sudo usermod -aG docker $(id -un))"
    as_root setfacl -m "u:$(id -un):rw" "$socket"
}

# Files that a killed daemon, or a machine image taken while one ran, leaves behind. Each makes dockerd refuse to start
# or wait for a process that is not there. None is touched while the process it names lives.
clear_stale() {
    local pidfile program pid
    while read -r pidfile program; do
        [ -e "$pidfile" ] || continue
        pid=$(as_root cat "$pidfile" 2>/dev/null || true)
        is_process "$pid" "$program" && continue
        note "removing stale $pidfile (process ${pid:-none} is no $program)"
        as_root rm -f "$pidfile"
    done <<-LIST
	/var/run/docker.pid dockerd
	/var/run/docker/containerd/containerd.pid containerd
	/var/run/docker/containerd/docker-containerd.pid containerd
	LIST
    if ! runs containerd; then
        local socket
        for socket in /run/containerd/containerd.sock /run/docker/containerd/containerd.sock; do
            [ ! -e "$socket" ] || { note "removing stale $socket"; as_root rm -f "$socket" "$socket.ttrpc"; }
        done
    fi
    if [ -S /var/run/docker.sock ] && ! runs dockerd; then
        note "removing stale /var/run/docker.sock"
        as_root rm -f /var/run/docker.sock
    fi
}

# dockerd sets up its networks with whatever `iptables` is first on its PATH. Where the kernel lacks the nft form,
# the legacy one usually works; it is put first for the daemon alone, the system's choice stays as it is.
iptables_path() {
    as_root iptables -w 5 -t nat -nL >/dev/null 2>&1 && return
    if have iptables-legacy && as_root iptables-legacy -w 5 -t nat -nL >/dev/null 2>&1; then
        as_root mkdir -p /run/aegisops/bin
        as_root ln -sf "$(command -v iptables-legacy)" /run/aegisops/bin/iptables
        as_root ln -sf "$(command -v ip6tables-legacy)" /run/aegisops/bin/ip6tables
        printf '/run/aegisops/bin:'
    else
        warn "neither iptables nor iptables-legacy can list the nat table; dockerd may fail to set up networks"
    fi
}

start_dockerd() {
    local path group pid
    clear_stale
    path="$(iptables_path)/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    # No cgroup hierarchy mounted: a bare container or chroot.
    if ! grep -q ' /sys/fs/cgroup' /proc/mounts; then
        as_root mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null || warn "could not mount cgroup2 on /sys/fs/cgroup"
    fi
    group=docker
    getent group docker >/dev/null || group=root
    [ "$(id -u)" -eq 0 ] || group=$(id -gn)
    as_root mkdir -p "$(dirname "$ENGINE_RECORD")"
    # A session of its own with no descriptor of ours, so that it outlives make and holds no pipe of it open.
    # shellcheck disable=SC2016
    pid=$(as_root env PATH="$path" bash -c '
        cd /
        for fd in /proc/$$/fd/*; do
            fd=${fd##*/}
            [ "$fd" -le 2 ] || [ "$fd" -eq 255 ] || eval "exec $fd>&-"
        done
        unset MAKEFLAGS MFLAGS MAKELEVEL
        setsid nohup dockerd --group "$2" >"$1" 2>&1 </dev/null &
        echo $!' engine "$ENGINE_LOG" "$group")
    step "starting dockerd (process $pid, log $ENGINE_LOG)"
    local deadline=$((SECONDS + READY_SECONDS))
    until engine_answers; do
        if ! is_process "$pid" dockerd && ! is_process "$pid" setsid && ! is_process "$pid" nohup; then
            tail -n 20 "$ENGINE_LOG" >&2 || true
            die "dockerd ended before it was ready; its last lines are above" \
                "the whole log is in $ENGINE_LOG" \
                "usual causes: no root rights in this container, no iptables support in the kernel, a full disk"
        fi
        if [ "$SECONDS" -ge "$deadline" ]; then
            tail -n 20 "$ENGINE_LOG" >&2 || true
            die "dockerd (process $pid) runs but did not answer within $READY_SECONDS s" \
                "the whole log is in $ENGINE_LOG; to stop it: kill $pid"
        fi
        sleep 0.1
    done
    printf '%s %s\n' "$pid" "$(process_start "$pid")" | as_root tee "$ENGINE_RECORD" >/dev/null
}

# Only a client on its way to the usual local socket can be helped by starting a daemon.
starting_helps() { [ "$(docker_socket)" = /var/run/docker.sock ]; }

ensure_engine() {
    if have docker && engine_answers; then return; fi
    # Two makes at once must not start two daemons.
    # Not in a folder that others may write to, where the name may be a link to what is not ours.
    local lock="${XDG_RUNTIME_DIR:-$HOME}/.aegisops-engine.lock"
    [ "$(id -u)" -ne 0 ] || lock=/run/aegisops-engine.lock
    exec 9>>"$lock"
    flock -w 120 9 || die "another process has been starting the engine for two minutes" "see: ps -ef | grep engine.sh"
    if have docker && engine_answers; then return; fi
    if [ -n "${DOCKER_HOST:-}" ] && ! starting_helps; then
        die "no Docker engine answers at DOCKER_HOST=$DOCKER_HOST" \
            "start it there, or unset DOCKER_HOST to use (or install) one on this machine"
    fi
    install_docker
    allow_me
    if engine_answers; then return; fi
    starting_helps || die "no Docker engine answers at $(docker context show): $(docker_socket)" \
        "start it, or choose another: docker context use default"
    if [ -d /run/systemd/system ]; then
        step "starting the Docker service"
        as_root systemctl start docker || die "systemd could not start docker" "see: journalctl -u docker -n 50"
        allow_me
        wait_until "$READY_SECONDS" engine_answers ||
            die "the Docker service was started but does not answer" "see: journalctl -u docker -n 50"
    else
        start_dockerd
    fi
    exec 9>&-
}

ensure_compose() {
    docker compose version >/dev/null 2>&1 || have docker-compose ||
        apt_install "neither 'docker compose' nor docker-compose is here" docker-compose
}

stop_engine() {
    local pid start others
    if [ ! -r "$ENGINE_RECORD" ]; then
        ! engine_answers || note "the Docker engine stays, as it was not started by us"
        return
    fi
    read -r pid start <"$ENGINE_RECORD"
    if ! is_process "$pid" dockerd || [ "$(process_start "$pid")" != "$start" ]; then
        as_root rm -f "$ENGINE_RECORD"
        note "the Docker engine that we started (process $pid) is gone already"
        return
    fi
    if [ -n "${AEGIS_KEEP_ENGINE:-}" ]; then
        note "the Docker engine (process $pid) stays: AEGIS_KEEP_ENGINE is set"
        return
    fi
    others=$(docker ps --format '{{.Names}}' | tr '\n' ' ')
    if [ -n "$others" ]; then
        note "the Docker engine (process $pid) stays: it runs containers that are not ours: $others"
        return
    fi
    step "stopping the Docker engine that we started (process $pid)"
    as_root kill "$pid"
    gone() { ! is_process "$pid" dockerd; }
    wait_until 30 gone || die "dockerd (process $pid) did not end within 30 s" "its log: $ENGINE_LOG"
    as_root rm -f "$ENGINE_RECORD"
}

case "${1:-start}" in
    start)
        ensure_engine
        ensure_compose
        ;;
    stop) stop_engine ;;
    *) die "engine.sh knows 'start' and 'stop', not '$1'" ;;
esac
