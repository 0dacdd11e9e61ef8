#!/usr/bin/env bash
# How scripts/test counts and ends: with suites that pass, fail, crash and run nothing. The tools are stand-ins.
# shellcheck disable=SC2016  # the stand-ins expand their own variables
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
failures=0 cases=0

stand_in() {
  mkdir -p "$(dirname "$1")"
  printf '#!/bin/bash\n%s\n' "$2" >"$1"
  chmod +x "$1"
}

# A project in which everything passes: 2 unit tests, 1 model test (skipped), 3 of the page, 4 of the server, 5 e2e, 6 arm.
begin() {
  rm -rf "${room:?}"/*
  mkdir -p "$room/user/models/all-MiniLM-L6-v2" "$room/user/.local/share/hearth" "$room/clone/web/dist" "$room/clone/build/stamps"
  cp -r "$repo/scripts" "$repo/CMakePresets.json" "$room/clone/"
  touch "$room/user/models/all-MiniLM-L6-v2/model.safetensors" "$room/user/.local/share/hearth/SmolLM2-135M-Instruct.Q4_1.gguf"
  mkdir -p "$room/clone/web/node_modules" && echo '{}' >"$room/clone/web/package-lock.json"
  touch "$room/clone/web/dist/index.html" "$room/clone/build/stamps/page" "$room/clone/web/node_modules/.package-lock.json"
  printf 'ID=debian\nVERSION_ID="12"\n' >"$room/os-release"
  local bin=$room/bin
  stand_in "$bin/uname" 'if [[ $1 == -m ]]; then echo x86_64; else echo Linux; fi'
  stand_in "$bin/dpkg-query" 'shift 2; for package in "$@"; do printf "installed=%s " "$package"; done'
  stand_in "$bin/df" 'printf "x\n/dev/x 9 9 90000 1%% /\n"'
  stand_in "$bin/node" 'echo v22.0.0'
  stand_in "$bin/npm" 'case "$*" in *e2e*) echo "5 passed, 0 failed" ;; *test*) echo "      Tests  3 passed (3)" ;; esac'
  stand_in "$bin/cmake" 'if [[ $1 != --build ]]; then mkdir -p "build/$2"; touch "build/$2/build.ninja"; fi'
  # One gtest program with two cases for "unit", one skipped case for "model".
  stand_in "$bin/ctest" 'while (($#)); do case $1 in --output-junit) junit=$2 ;; -L) label=$2 ;; -N) list=yes ;; esac; shift; done
    if [[ -n ${list:-} ]]; then echo "  Test #1: base_test"; exit; fi
    echo "<testsuite><testcase name=\"a_test\" status=\"run\"/></testsuite>" >"$junit"
    folder=${GTEST_OUTPUT#xml:}
    if [[ $label == *unit* ]]; then body="<testcase status=\"run\"/><testcase status=\"run\"/>"
    else body="<testcase status=\"run\" result=\"skipped\"><skipped/></testcase>"; fi
    echo "<testsuites><testsuite>$body</testsuite></testsuites>" >"$folder/a_test.xml"'
  stand_in "$room/clone/tests/server/run.sh" 'echo "===== 4 passed in 1.00s ====="'
  stand_in "$room/clone/scripts/test-neon" 'echo "neon: 6 passed, 0 failed, 0 skipped"'
  mkdir -p "$room/clone/build/tools/python" && touch "$room/clone/build/tools/python/.ready"
}

run_tests() {
  code=0
  output=$(cd / && HOME=$room/user HEARTH_MODELS=$room/user/models HEARTH_OS_RELEASE=$room/os-release PATH=$room/bin:$PATH \
    timeout 60 "$room/clone/scripts/test" "$@" 2>&1 </dev/null) || code=$?
}

expect() {
  cases=$((cases + 1))
  local summaries
  summaries=$(grep -cE '^[0-9]+ passed, [0-9]+ failed' <<<"$output" || true)
  if [[ $code != "$2" || $(tail -n 1 <<<"$output") != "$3" ]]; then
    failures=$((failures + 1))
    printf 'FAILED %s: exit %s, wanted %s and a last line "%s"; it said:\n%s\n' "$1" "$code" "$2" "$3" "$output"
  elif [[ $4 == once && $summaries != 1 ]]; then
    failures=$((failures + 1))
    printf 'FAILED %s: %s summary lines\n' "$1" "$summaries"
  fi
}

begin
run_tests
expect "everything passes" 0 "20 passed, 0 failed, 1 skipped" once
run_tests --fast
expect "without the emulator" 0 "14 passed, 0 failed, 1 skipped" once
run_tests page server
expect "two suites by name" 0 "7 passed, 0 failed, 0 skipped" once
run_tests --asan unit
expect "the unit tests, and again with sanitizers" 0 "4 passed, 0 failed, 0 skipped" once
run_tests --tsan unit
expect "the unit tests, and what has threads again" 0 "4 passed, 0 failed, 0 skipped" once
run_tests tsan
expect "only what has threads" 0 "2 passed, 0 failed, 0 skipped" once

begin
stand_in "$room/clone/tests/server/run.sh" 'echo "=== 1 failed, 3 passed in 1.00s ==="; exit 1'
run_tests --fast
expect "a failing suite" 1 "13 passed, 1 failed, 1 skipped" any

begin
stand_in "$room/clone/tests/server/run.sh" 'echo "=== 4 passed in 1.00s ==="; exit 139'
run_tests --fast
expect "a suite that crashes at its end" 1 "14 passed, 1 failed, 1 skipped" any

begin
stand_in "$room/clone/tests/server/run.sh" 'exit 0'
run_tests --fast
expect "a suite that runs nothing" 1 "10 passed, 1 failed, 1 skipped" any

begin
stand_in "$room/bin/ctest" 'echo "No tests were found"; exit 8'
run_tests unit
expect "no C++ tests" 1 "0 passed, 1 failed, 0 skipped" once

begin
stand_in "$room/bin/cmake" 'if [[ $1 == --build ]]; then echo "a.cc:1: error: no"; exit 1; fi; mkdir -p "build/$2"; touch "build/$2/build.ninja"'
run_tests
expect "code that does not compile" 1 "0 passed, 1 failed, 0 skipped" once

printf '%d passed, %d failed\n' $((cases - failures)) "$failures"
((failures == 0))
