#!/usr/bin/env bash
# Builds the function into the component @NAME@.wasm. Arguments go to cargo, such as --offline.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

triple=wasm32-unknown-unknown
rustlib=$(rustc --print sysroot)/lib/rustlib
build_std=()
if [ -d "$rustlib/$triple/lib" ]; then
  :
elif [ -f "$rustlib/src/rust/library/Cargo.lock" ]; then
  # The standard library is built here, from its source.
  build_std=(-Zbuild-std=std,panic_abort)
else
  echo "build: there is no standard library for $triple. Install it by: rustup target add $triple
(or its source, to build it here, by: rustup component add rust-src)" >&2
  exit 1
fi

(
  [ ${#build_std[@]} = 0 ] || export RUSTC_BOOTSTRAP=1
  cargo build --quiet --release --target $triple "${build_std[@]}" "$@"
)
cargo run --quiet -p _pack "$@" -- "${CARGO_TARGET_DIR:-target}/$triple/release/function.wasm" @NAME@.wasm
echo "@NAME@.wasm: $(wc -c <@NAME@.wasm | tr -d ' ') bytes"
