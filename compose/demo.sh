#!/usr/bin/env bash
# The whole story in one command: start what is missing, make the patient sick through its own HTTP endpoint, watch it
# being healed. Ends with the exit code of the watch: 0 when the incident ends RESOLVED.
set -euo pipefail
# shellcheck source=compose/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# 10 MB a call; 256 MB is the limit and 85 % the alarm, so 22 or 23 are enough.
MAX_CALLS=40
WATCH_SECONDS=120

started_at() { docker inspect --format '{{.State.StartedAt}}' buggy-app-v2; }
memory_percent() { http GET "$AEGIS_APP_PORT" /health | json_number memory_percent; }
above() { [ "${1%%.*}" -ge "$2" ] 2>/dev/null; }

# Fills the patient's memory until its own monitor has reason to call for help. Bounded, and it stops there: whether
# anything happens is up to the monitor.
make_sick() {
    local calls
    sleep 0.2
    for ((calls = 0; calls < MAX_CALLS; calls++)); do
        ! above "$(memory_percent)" 86 || return 0
        http POST "$AEGIS_APP_PORT" /trigger_memory >/dev/null || true
        sleep 0.05
    done
}

export AEGIS_GOAL=demo
"$COMPOSE_DIR/engine.sh"
"$COMPOSE_DIR/images.sh"
"$COMPOSE_DIR/up.sh"

# Left over from a demo that was broken off.
if above "$(memory_percent)" 60; then
    note "the patient's memory is full from an earlier run: restarting it first"
    docker restart --time 5 buggy-app-v2 >/dev/null
    wait_until 20 http GET "$AEGIS_APP_PORT" /health >/dev/null || die "the patient did not come back after a restart" "see: docker logs buggy-app-v2"
fi

rust_target
AEGISCTL=$(binary aegisctl)
at=$(reach)
AEGIS_SERVER="http://$at:$AEGIS_API_PORT"
AEGIS_TOKEN=$(cat "$ADMIN_TOKEN_FILE")
export AEGIS_SERVER AEGIS_TOKEN

step "declaring what should be: examples/quickstart"
"$AEGISCTL" apply -f "$REPO/examples/quickstart"
"$AEGISCTL" wait --for=condition=Ready workload/buggy-app-v2 --timeout=60s

before=$(started_at)
step "filling the patient's memory through its own /trigger_memory; its monitor will call for help at 85 %"
make_sick &
sick=$!
trap 'kill "$sick" 2>/dev/null || true' EXIT
outcome=0
"$AEGISCTL" watch --until-resolved --timeout "${WATCH_SECONDS}s" || outcome=$?
after=$(started_at)

say ''
if [ "$outcome" -eq 0 ]; then
    good "RESOLVED"
else
    warn "the incident did not end RESOLVED (exit code $outcome); see: docker logs aegis-agent"
fi
cat <<TEXT
    patient started   before  $before
                      after   $after
    cockpit           $(cockpit_link)
    dashboard         http://$at:$AEGIS_DASHBOARD_PORT/
    controller        http://$at:$AEGIS_API_PORT/docs
    load balancer     http://$at:$AEGIS_LB_PORT/
    patient           http://$at:$AEGIS_APP_PORT/health
    what it learned   curl -H "Authorization: Bearer \$(make -s token)" http://$at:$AEGIS_API_PORT/runbook
    stop it all       make down
TEXT
exit "$outcome"
