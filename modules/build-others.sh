#!/usr/bin/env bash
# Builds the samples in other languages than Rust: modules/build-others.sh [hello-js|hello-python|hello-c…]
#
# Writes target/components/<sample>.wasm, for all three if none is named, and says the size and sha256 of each. What it
# builds with comes from npm and PyPI, in the versions that the samples' folders pin, and goes to target/tools/; the
# second run needs no network.
#
# Exit 1 if a sample does not build, 2 if all that is wrong is that one was left out, for want of a tool that only you
# can install; it says which.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly target=$PWD/target
readonly tools=$target/tools
readonly components=$target/components

usage() {
  sed -n '2,/^$/s/^# \{0,1\}//p' build-others.sh | sed '/^set /,$d'
}

# needs <sample> <program> <how to install it>: leaves the sample out where the program is not there.
needs() {
  command -v "$2" >/dev/null && return
  echo "build-others.sh: LEFT OUT: $1 needs $2: $3" >&2
  exit 2
}

# once <folder> <file> <command…>: runs a command that fills the folder, unless it did so already from the same file.
once() {
  local folder=$1 pins=$2
  shift 2
  cmp -s "$pins" "$folder/made-from" && return
  rm -rf "$folder"
  mkdir -p "$folder"
  "$@"
  cp "$pins" "$folder/made-from"
}

# venv <sample>: its requirements.txt, installed in a virtual environment of its own.
venv() {
  needs "$1" python3 "apt-get install python3-venv"
  if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
    echo "build-others.sh: LEFT OUT: $1 needs Python's venv: apt-get install python3-venv" >&2
    exit 2
  fi
  once "$tools/$1" "$1/requirements.txt" fill_venv "$1"
}

fill_venv() {
  python3 -m venv "$tools/$1"
  "$tools/$1/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: -r "$1/requirements.txt"
}

# A world for a sample beside those of the contract, in the same package.
with_world() {
  rm -rf "$target/wit/$1"
  mkdir -p "$target/wit/$1"
  cp -r ../wit/. "$target/wit/$1"
  cp "$1/world.wit" "$target/wit/$1/$1.wit"
}

hello-js() {
  needs hello-js node "apt-get install nodejs npm; at least version 18"
  needs hello-js npm "apt-get install npm"
  once "$tools/hello-js" hello-js/package-lock.json fill_node_modules
  with_world hello-js
  # --sync: without component-model async, which is not in WASI 0.2.
  "$tools/hello-js/node_modules/.bin/componentize-qjs" --sync --opt-size --wit "$target/wit/hello-js" \
    --world hello-js --js hello-js/hello.js --output "$1" >/dev/null
}

fill_node_modules() {
  cp hello-js/package.json hello-js/package-lock.json "$tools/hello-js"
  # Not `npm ci`: it wants every platform's binary in the lock file, and the registry does not have them all.
  npm install --prefix "$tools/hello-js" --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
}

hello-python() {
  local made=$target/hello-python
  venv hello-python
  # From a copy, beside which Python leaves its __pycache__.
  mkdir -p "$made"
  cp hello-python/hello.py "$made"
  # VIRTUAL_ENV, as it would look for packages in the caller's environment else.
  VIRTUAL_ENV=$tools/hello-python "$tools/hello-python/bin/componentize-py" --quiet --wit-path wit-proxy --world hello \
    componentize --python-path "$made" --output "$1" hello
}

hello-c() {
  local made=$target/hello-c
  venv hello-c
  needs hello-c cargo "https://rustup.rs"
  mkdir -p "$made"
  cargo run --quiet --locked --target-dir "$target" -p c-bindings -- ../wit http-function "$made"
  # Zig's own stack is 16 MiB, which a function would have to be granted.
  ZIG_GLOBAL_CACHE_DIR=$target/zig ZIG_LOCAL_CACHE_DIR=$target/zig \
    "$tools/hello-c/bin/python" -m ziglang cc -target wasm32-wasi -mexec-model=reactor -Os -s -std=c11 \
    -Wall -Wextra -Werror -Wl,-z,stack-size=65536 -I "$made" \
    hello-c/hello.c "$made/http_function.c" "$made/http_function_component_type.o" -o "$made/hello-c.wasm"
  cargo run --quiet --locked --target-dir "$target" -p pack -- "$made/hello-c.wasm" "$1"
}

samples=()
for arg in "$@"; do
  case $arg in
    hello-js | hello-python | hello-c) samples+=("$arg") ;;
    -h | --help) usage && exit ;;
    *) echo "build-others.sh: $arg: no such sample; see --help" >&2 && exit 1 ;;
  esac
done
[ ${#samples[@]} -gt 0 ] || samples=(hello-js hello-python hello-c)

mkdir -p "$components"
worst=0
for sample in "${samples[@]}"; do
  component=$components/$sample.wasm
  rm -f "$component"
  # In a shell of its own, and not as a condition: there `set -e` would not hold.
  set +e
  (set -e; "$sample" "$component.new"; mv "$component.new" "$component")
  outcome=$?
  set -e
  case $outcome in
    0) echo "$component: $(wc -c <"$component") bytes, sha256 $(sha256sum "$component" | cut -d' ' -f1)" ;;
    2) [ "$worst" = 1 ] || worst=2 ;;
    *) worst=1 && echo "build-others.sh: $sample does not build" >&2 ;;
  esac
done
exit "$worst"
