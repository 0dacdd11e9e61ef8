#!/bin/bash
# End-to-end tests of the server: the openai packages of PyPI and npm, and curl, against the real binary with the default model.
#   HEARTH_BIN     the binary (default build/release/hearth)
#   HEARTH_MODELS  folder with the development models (default ~/.cache/hearth-models)
#   HEARTH_CHECK_DIR  where the packages are installed (default build/server-tests)
# Exit code 77: skipped, because the binary or the model is not there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=${HEARTH_BIN:-$root/build/release/hearth}
models=${HEARTH_MODELS:-$HOME/.cache/hearth-models}
work=${HEARTH_CHECK_DIR:-$root/build/server-tests}
model=$models/SmolLM2-135M-Instruct.Q4_1.gguf
serve=("$bin" serve)
if [ -z "${HEARTH_FAKE:-}" ]; then
  [ -f "$model" ] || { echo "skipped: $model is not there" >&2; exit 77; }
  serve+=(--model "$model" --context 8192)
fi
[ -x "$bin" ] || { echo "skipped: $bin is not there (set HEARTH_BIN)" >&2; exit 77; }
mkdir -p "$work"

servers=()
stop_all() { for pid in "${servers[@]}"; do kill "$pid" 2>/dev/null || true; done; }
trap stop_all EXIT

# start LOG COMMAND...: sets `url` and `pid`.
start() {
  local log=$1
  shift
  "$@" >"$log" 2>"$log.err" &
  pid=$!
  servers+=("$pid")
  for _ in $(seq 600); do
    url=$(sed -n 's/^Hearth is at //p' "$log")
    [ -n "$url" ] && return 0
    kill -0 "$pid" 2>/dev/null || { cat "$log.err" >&2; return 1; }
    sleep 0.1
  done
  echo "the server did not start" >&2
  return 1
}

if ! cmp -s "$here/requirements.txt" "$work/venv/requirements.txt"; then
  rm -rf "$work/venv"
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt"
  cp "$here/requirements.txt" "$work/venv/requirements.txt"
fi
mkdir -p "$work/node"
cp "$here/openai.test.mjs" "$here/package.json" "$here/.npmrc" "$work/node/"
if ! cmp -s "$here/package-lock.json" "$work/node/package-lock.json" || [ ! -d "$work/node/node_modules" ]; then
  cp "$here/package-lock.json" "$work/node/"
  (cd "$work/node" && npm ci --silent)
fi

export HEARTH_API_KEY=test-key
start "$work/server.log" "${serve[@]}" --port 0
export HEARTH_URL=$url
server=$pid
failed=0

# MiniLM comes as safetensors; our own converter makes the GGUF, anew each time.
minilm=$work/all-MiniLM-L6-v2.gguf
if [ -z "${HEARTH_FAKE:-}" ] && [ -d "$models/all-MiniLM-L6-v2" ]; then
  if ! "$bin" convert --force "$models/all-MiniLM-L6-v2" "$minilm" >/dev/null; then
    echo "FAIL: all-MiniLM-L6-v2 does not convert" >&2
    failed=1
  elif start "$work/embed.log" "$bin" serve --model "$minilm" --port 0; then
    export HEARTH_EMBED_URL=$url
  else
    echo "FAIL: the server with the embedding model does not start" >&2
    failed=1
  fi
fi

if [ -z "${HEARTH_FAKE:-}" ]; then export HEARTH_BIN=$bin HEARTH_MODEL=$model; fi
"$work/venv/bin/python" -m unittest discover -s "$here" -p 'test_*.py' || failed=1
(cd "$work/node" && node --test --test-reporter=spec openai.test.mjs) || failed=1
sh "$here/curl_checks.sh" || failed=1

# A busy port is one clear line.
port=${HEARTH_URL##*:}
if message=$("${serve[@]}" --port "$port" 2>&1); then
  echo "FAIL: a second server on the same port started" >&2
  failed=1
elif [ "$(printf '%s\n' "$message" | wc -l)" != 1 ] || [[ "$message" != *"$port"* ]]; then
  echo "FAIL: a busy port says: $message" >&2
  failed=1
fi

# No prompt and no key in the log; and a stop that is clean.
if grep -q -e "Say hello" -e test-key "$work/server.log.err"; then
  echo "FAIL: the log holds a prompt or a key" >&2
  failed=1
fi
kill -TERM "$server"
if ! wait "$server"; then
  echo "FAIL: the server did not stop cleanly" >&2
  failed=1
fi
[ "$failed" = 0 ] && echo "server tests passed"
exit "$failed"
