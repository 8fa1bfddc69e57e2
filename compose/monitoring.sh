#!/usr/bin/env bash
# Fetches Debian's Prometheus and Alertmanager for the tests and unpacks them beside what is built: they are not installed, so that
# no service of theirs is started on this machine. Leaves alone what is there already.
#
#   monitoring.sh [FOLDER]    default: monitoring in cargo's target folder
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=compose/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

PACKAGES=(prometheus prometheus-alertmanager)
PROGRAMS=(prometheus promtool prometheus-alertmanager)
# Debian's Alertmanager reads its templates from this place alone, whatever its configuration says.
TEMPLATES=/usr/share/prometheus/alertmanager

complete() {
    local program
    for program in "${PROGRAMS[@]}"; do [ -x "$1/usr/bin/$program" ] || return 1; done
    [ -d "$1$TEMPLATES" ]
}

templates() {
    local template
    for template in "$1$TEMPLATES"/*.tmpl; do
        [ -e "$TEMPLATES/${template##*/}" ] || as_root install -D -m 0644 "$template" "$TEMPLATES/${template##*/}"
    done
}

main() {
    local out=${1:-${CARGO_TARGET_DIR:-$REPO/target}/monitoring}
    complete "$out" || fetch "$out"
    templates "$out"
}

fetch() {
    local out=$1 work log package
    have apt-get && have dpkg-deb || die "the tests run Debian's ${PACKAGES[*]}, and this machine has no apt-get to fetch them" \
        "unpack these packages in $out by yourself"
    step "fetching ${PACKAGES[*]} for the tests"
    mkdir -p "$(dirname "$out")"
    work=$(mktemp -d "$out.XXXXXX")
    log="$work/apt.log"
    (
        cd "$work"
        apt-get download -q "${PACKAGES[@]}" || { as_root apt-get update -q && apt-get download -q "${PACKAGES[@]}"; }
        for package in *.deb; do dpkg-deb --extract "$package" root; done
    ) >"$log" 2>&1 </dev/null || {
        tail -n 10 "$log" >&2
        rm -rf "$work"
        die "apt-get could not fetch ${PACKAGES[*]}" "what it said is above"
    }
    # As one step: another that fetches at the same time has the same.
    rm -rf "$out"
    mv -T "$work/root" "$out" 2>/dev/null || complete "$out" || die "$out cannot be written"
    rm -rf "$work"
}

main "$@"
