#!/usr/bin/env bash
# Proves under qemu that the ARM binaries deploy a function, and serve it again from the cache with everything else
# gone: no broker, no artifact file, nothing to compile with. Knows nothing of how the binaries were built.
#
#   cross/prove.sh [aarch64|armv7]...     both, where none is named
#
# Needs the binaries of cross/build.sh, qemu-user, the targets' C libraries, mosquitto with its clients, and curl.
#
# What it does not prove: speed on a device (qemu is many times slower), and the limit on the compiler's memory, which
# qemu ignores.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
artifact=$PWD/modules/prebuilt/hello-http.wasm
built=$(realpath -m "${CARGO_TARGET_DIR:-$here/target}")
# Mosquitto is a daemon to its package, and not on every user's path.
export PATH=$PATH:/usr/sbin
deadline_s=180
broker=
agent=
work=

fail() {
  echo "cross/prove.sh: $*" >&2
  if [ -f "$work/log" ]; then tail -n 40 "$work/log" >&2; fi
  exit 1
}

# What was started here ends here, whatever happens.
clean_up() {
  local process
  for process in $agent $broker; do
    kill -KILL "$process"
    wait "$process" 2>/dev/null || true
  done
  if [ -n "$work" ]; then rm -rf "$work"; fi
}
trap clean_up EXIT

now_ms() { date +%s%3N; }

# wait_for WHAT COMMAND...: until the command succeeds; the agent must live as long.
wait_for() {
  local what=$1 until=$((SECONDS + deadline_s))
  shift
  until "$@"; do
    kill -0 "$agent" 2>/dev/null || {
      agent=
      fail "it ended before $what"
    }
    [ "$SECONDS" -lt "$until" ] || fail "$what: not within $deadline_s s"
    sleep 0.02
  done
}

# Sets `target`, `qemu` and `sysroot`.
choose() {
  case $1 in
    aarch64) target=aarch64-unknown-linux-gnu qemu=qemu-aarch64 sysroot=/usr/aarch64-linux-gnu ;;
    armv7) target=armv7-unknown-linux-gnueabihf qemu=qemu-arm sysroot=/usr/arm-linux-gnueabihf ;;
    *) fail "unknown target $1; there are aarch64 and armv7" ;;
  esac
  [ -x "$built/$target/release/twinlet" ] || fail "there is no binary: run cross/build.sh $1"
  [ -d "$sysroot/lib" ] || fail "$sysroot is missing: the C library comes with gcc-${sysroot#/usr/}"
}

need() {
  command -v "$1" >/dev/null || fail "$1 is missing; on Debian and Ubuntu: apt-get install $2"
}

# Starts mosquitto on a free port of the loopback; sets `broker` and `port`. Without a configuration it is open to
# this machine alone.
start_broker() {
  local tries
  for tries in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 12000))
    : >"$work/broker.log"
    mosquitto -p "$port" >>"$work/broker.log" 2>&1 &
    broker=$!
    until grep -q ' running$' "$work/broker.log"; do
      kill -0 "$broker" 2>/dev/null || continue 2
      sleep 0.02
    done
    return
  done
  broker=
  cat "$work/broker.log" >&2
  fail "mosquitto does not start"
}

# Starts the agent and waits until it listens; sets `agent`, `url` and `began`.
start_agent() {
  # Emptied before it starts, or the lines of the one before would be taken for its own.
  : >"$work/log"
  began=$(now_ms)
  env -i NODE_ID=cross CACHE_DIR="$work/state" LISTEN_ADDR=127.0.0.1 LISTEN_PORT=0 \
    MQTT_BROKER="mqtt://127.0.0.1:$port" COMPILE_TIMEOUT_SECS="$deadline_s" \
    "$(command -v $qemu)" -L "$sysroot" "$work/twinlet" run >>"$work/log" 2>&1 &
  agent=$!
  wait_for "it listened" grep -q 'listening on http://' "$work/log"
  url=$(sed -n 's|.*listening on \(http://[^ ]*\).*|\1|p' "$work/log")
  say "listens" "$began"
}

# What only the function says.
answers() {
  [ "$(curl -sS --max-time 10 "$url/hello?name=$target" 2>/dev/null)" = "Hello, $target!" ]
}

stop_agent() {
  local status=0
  kill -TERM "$agent"
  wait "$agent" || status=$?
  agent=
  [ "$status" = 0 ] || fail "after SIGTERM it ended with $status"
}

say() {
  printf '%-30s %-46s %6d ms\n' "$target" "$1" $(($(now_ms) - $2))
}

deploy() {
  local sha256 began_deploying
  cp "$artifact" "$work/artifact.wasm"
  sha256=$(sha256sum "$work/artifact.wasm" | cut -d' ' -f1)
  began_deploying=$(now_ms)
  mosquitto_pub -h 127.0.0.1 -p "$port" -q 1 -r -t edge/twin/cross/desired -s <<END
{ "\$version": 1,
  "functions": { "hello": { "version": 1, "artifact_url": "file://$work/artifact.wasm", "sha256": "$sha256",
    "entrypoint": "main", "memory_pages": 64, "max_execution_ms": 10000 } },
  "routes": { "r1": { "path": "/hello", "function_id": "hello" } } }
END
  wait_for "it served what was deployed" answers
  say "fetched, compiled, answers 200" "$began_deploying"
}

# The agent compiles by starting itself, which this machine can not do with an ARM program. So, once qemu has read the
# program, a script takes its name: it starts qemu with the program.
make_startable() {
  cat >"$work/script" <<END
#!/bin/sh
exec $(command -v $qemu) -L $sysroot $built/$target/release/twinlet "\$@"
END
  chmod +x "$work/script"
  mv "$work/script" "$work/twinlet"
}

prove() {
  choose "$1"
  need "$qemu" qemu-user
  work=$(mktemp -d)
  cp "$built/$target/release/twinlet" "$work/twinlet"
  start_broker
  start_agent
  make_startable
  deploy
  stop_agent

  # Nothing stays but the state. The program has its name back, so that it can not compile either.
  kill "$broker"
  wait "$broker" || true
  broker=
  cp --remove-destination "$built/$target/release/twinlet" "$work/twinlet"
  rm "$work/artifact.wasm"
  start_agent
  wait_for "it served from the cache" answers
  say "alone, answers 200 from the cache" "$began"
  began=$(now_ms)
  answers || fail "it served once only"
  say "one more request, with curl's start" "$began"
  stop_agent
  rm -rf "$work"
}

need mosquitto mosquitto
need mosquitto_pub mosquitto-clients
need curl curl
[ -f "$artifact" ] || fail "$artifact is missing"
[ $# -gt 0 ] || set -- aarch64 armv7
for name; do
  prove "$name"
done
