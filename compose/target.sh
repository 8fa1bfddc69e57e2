#!/usr/bin/env bash
# TARGET_CONTAINER as resources. Sourced by up.sh, behind lib.sh; it asks the controller by as_admin.

# Of a container: ports that it exposes over TCP, one a line.
exposed() { docker inspect --format '{{range $port, $_ := .Config.ExposedPorts}}{{println $port}}{{end}}' "$1" | sed -n 's,/tcp$,,p'; }

# The container's port behind a published one, or nothing.
behind() {
    docker inspect --format '{{range $port, $all := .NetworkSettings.Ports}}{{range $all}}{{println .HostPort $port}}{{end}}{{end}}' "$1" |
        sed -n "s,^$2 \\([0-9]*\\)/tcp\$,\\1,p" | head -n 1
}

# Sets TARGET_PORT, and TARGET_HEALTH as YAML: the address of HEALTH_URL, else Docker's health check, else the only port
# that the container exposes, else none.
target_probe() {
    local target=$1 host path ports
    TARGET_PORT='' TARGET_HEALTH=''
    if [[ "${HEALTH_URL:-}" =~ ^http://([^/:[:space:]]+)(:([0-9]+))?(/[^\"\\[:space:]]*)?$ ]]; then
        host=${BASH_REMATCH[1]} TARGET_PORT=${BASH_REMATCH[3]:-80} path=${BASH_REMATCH[4]:-/}
        case $host in localhost | 127.*) TARGET_PORT=$(behind "$target" "$TARGET_PORT") ;; esac
        if [ -n "$TARGET_PORT" ]; then
            TARGET_HEALTH="{http: {port: $TARGET_PORT, path: \"$path\"}}"
            return
        fi
    fi
    ports=$(exposed "$target")
    [ "$(printf '%s\n' "$ports" | grep -c .)" -ne 1 ] || TARGET_PORT=$ports
    if [ "$(docker inspect --format '{{if .Config.Healthcheck}}yes{{end}}' "$target")" = yes ]; then
        TARGET_HEALTH='{docker: {}}'
    elif [ -n "$TARGET_PORT" ]; then
        TARGET_HEALTH="{tcp: {port: $TARGET_PORT}}"
    fi
}

# make_resource KIND NAME: stores what stdin says of it, unless there is one of that name: that is the user's.
make_resource() {
    if as_admin get "$1" "$2" >/dev/null 2>&1; then
        cat >/dev/null
        return
    fi
    as_admin apply -f - ||
        die "the controller does not take $1 $2 of TARGET_CONTAINER=$TARGET_CONTAINER" "what aegisctl said is above"
}

# The annotation of a policy that was made here and waits for the probe: without it a policy's mode is its owner's.
AWAITS_PROBE=aegisops.io/awaits-probe

# Whether this policy is one that was made here, and is as it was made.
awaits_probe() {
    local policy
    policy=$(as_admin get remediationpolicy "$1" --output=json 2>/dev/null) || return 1
    [[ $policy =~ \"$AWAITS_PROBE\":\ *\"true\" && $policy =~ \"mode\":\ *\"Approve\" && $policy =~ \"generation\":\ *1[^0-9] ]]
}

# A load balancer that was there before is the user's: it is left, and what is missing in it is said.
check_balancer() {
    local name=$1 backends
    backends=$(as_admin get loadbalancer aegis-lb --output='jsonpath={.spec.backends[*].workload}' 2>/dev/null) || return 0
    [[ " $backends " == *" $name "* ]] ||
        warn "the LoadBalancer aegis-lb is there already, without $name: to have requests sent to it, add it to spec.backends (aegisctl edit loadbalancer aegis-lb)"
}

# Makes the controller watch TARGET_CONTAINER: a Workload that adopts it, a LoadBalancer where its port is known, and, where
# there is no policy at all, one for that workload alone. The Workload is the last, and the policy says that it
# waits for the probe, so that a run which is broken off is made up for by the next.
declare_target() {
    local target=${TARGET_CONTAINER:-} name is_new=''
    [ -n "$target" ] || return 0
    target=$(docker inspect --type container --format '{{.Name}}' "$target" 2>/dev/null) || {
        warn "there is no container $TARGET_CONTAINER yet: run make up again once there is, and its Workload is made"
        return 0
    }
    target=${target#/}
    name=$(printf '%s' "$target" | tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9-]/-/g; s/^-*//; s/-*$//')
    if ! as_admin get workload "$name" >/dev/null 2>&1; then
        is_new=yes
        declare_new "$target" "$name"
    fi
    awaits_probe "$name" || [ -n "$is_new" ] || return 0
    if ! as_admin wait --for=condition=Ready "workload/$name" --timeout=60s; then
        warn "$target is not ready as it is probed (aegisctl why $name): nothing is done without approval until it is and make up is run again, or its policy says mode: Auto"
    elif awaits_probe "$name"; then
        as_admin patch remediationpolicy "$name" --patch \
            "{\"metadata\": {\"annotations\": {\"$AWAITS_PROBE\": null}}, \"spec\": {\"mode\": \"Auto\"}}"
    fi
}

# The resources of a target, but for what is there already.
declare_new() {
    local target=$1 name=$2 policies
    target_probe "$target"
    policies=$(as_admin get remediationpolicies --no-headers) ||
        die "the controller does not list its policies" "what aegisctl said is above"
    # Automation acts by itself only where the probe was seen to pass.
    if [ -z "$policies" ]; then
        make_resource remediationpolicy "$name" <<YAML
apiVersion: aegisops.io/v1alpha1
kind: RemediationPolicy
metadata: {name: "$name", annotations: {$AWAITS_PROBE: "true"}}
spec:
  workloads: {names: ["$name"]}
  mode: Approve
YAML
    elif ! as_admin get remediationpolicy "$name" >/dev/null 2>&1; then
        warn "there are policies already, so none is made for $name: where none of them governs it, nothing is done without approval (aegisctl get remediationpolicies)"
    fi
    if [ -n "$TARGET_PORT" ]; then
        make_resource loadbalancer aegis-lb <<YAML
apiVersion: aegisops.io/v1alpha1
kind: LoadBalancer
metadata: {name: aegis-lb}
spec:
  container: aegis-lb
  backends:
    - {workload: "$name", port: $TARGET_PORT, upstream: "$(printf '%s' "$name" | tr - _)"}
YAML
        check_balancer "$name"
    fi
    make_resource workload "$name" <<YAML
apiVersion: aegisops.io/v1alpha1
kind: Workload
metadata: {name: "$name"}
spec:
  container: "$target"
  replicas: 1
${TARGET_HEALTH:+  health: $TARGET_HEALTH}
YAML
}
