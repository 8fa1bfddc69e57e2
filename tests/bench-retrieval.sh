#!/usr/bin/env bash
# make bench-retrieval: our index beside scikit-learn's refit of the same corpus. scikit-learn goes into a folder of its
# own below target/; where it cannot be had, only ours is measured.
set -euo pipefail
cd "$(dirname "$0")/.."

venv="${CARGO_TARGET_DIR:-target}/bench-venv"
has_sklearn() { "$venv/bin/python" -c 'import sklearn' 2>/dev/null; }

if ! has_sklearn && command -v python3 >/dev/null; then
  echo "installing scikit-learn into $venv"
  log="$(mktemp)"
  { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet scikit-learn==1.9.1; } >"$log" 2>&1 || tail -n 3 "$log" >&2
  rm -f "$log"
fi
if has_sklearn; then
  AEGIS_BENCH_PYTHON="$(cd "$venv/bin" && pwd)/python"
  export AEGIS_BENCH_PYTHON
else
  echo "scikit-learn is missing (it takes python3 with venv, and pip's registry): only ours is measured" >&2
fi
exec cargo bench --quiet -p aegis-brain --bench retrieval
