#!/usr/bin/env bash
# Runs a command where it may mount what it likes: no other process sees it, and it is gone when the command ends.
#
#   own-mounts.sh COMMAND...
set -euo pipefail
# shellcheck source=compose/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../compose/lib.sh"

as_root unshare --mount --propagation private env PATH="$PATH" ${DOCKER_HOST:+DOCKER_HOST="$DOCKER_HOST"} "$@"
