#!/usr/bin/env bash
# What the cockpit's sources need: Node and the packages that their lock file names. Leaves alone what is up to date.
#
#   cockpit.sh packages   fetch them
#   cockpit.sh browsers   install what the tests look at pages with: Chromium, and w3m for a page without scripts
#   cockpit.sh lint       types, rules, formatting
#   cockpit.sh test       the tests beside the code, and the size of what a browser loads first
set -euo pipefail
# shellcheck source=compose/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

WEB="$REPO/cockpit-web"

packages() {
    local lock stamp="$WEB/node_modules/.aegis-lock" log
    have npm || apt_install "the cockpit is built with Node" nodejs npm
    node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)' ||
        die "Node $(node --version) is too old to build the cockpit" "install Node 20 or newer, then run this again"
    lock=$(sha256sum <"$WEB/package-lock.json")
    [ "$(cat "$stamp" 2>/dev/null)" != "$lock" ] || return 0
    step "fetching the cockpit's packages (npm ci)"
    log=$(mktemp)
    (cd "$WEB" && npm ci --include=dev --ignore-scripts --no-audit --no-fund) >"$log" 2>&1 </dev/null || {
        head -n 20 "$log" >&2
        die "npm could not fetch the cockpit's packages" "the whole log is in $log"
    }
    rm -f "$log"
    printf '%s\n' "$lock" >"$stamp"
}

browsers() {
    local missing=()
    [ -x "${CHROMIUM:-/usr/bin/chromium}" ] || missing+=(chromium)
    have w3m || missing+=(w3m)
    [ ${#missing[@]} -eq 0 ] || apt_install "the tests look at the pages" "${missing[@]}"
}

case "${1:-}" in
    packages) packages ;;
    browsers) browsers ;;
    lint)
        packages
        step "checking the cockpit"
        (cd "$WEB" && npm run --silent check)
        ;;
    test)
        packages
        browsers
        step "testing the cockpit"
        (cd "$WEB" && npm test --silent)
        ;;
    *) die "cockpit.sh knows packages, browsers, lint and test, not '${1:-}'" ;;
esac
