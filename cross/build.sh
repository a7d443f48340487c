#!/usr/bin/env bash
# Builds the release binary for the ARM targets and fails where one is larger than its budget. Knows nothing of tests.
#
#   cross/build.sh [aarch64|armv7]...     both, where none is named
#
# Needs the toolchain of rust-toolchain.toml and the C cross-compilers of the distribution. The standard library is the
# installed target's; where rustup can not add targets, it is built from its source (the component rust-src).
# Each binary ends up in cross/target/<target>/release/twinlet.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$here/target}
budget=$((10 * 1024 * 1024))

fail() {
  echo "cross/build.sh: $*" >&2
  exit 1
}

# Sets what differs between the targets: `target`, `features`, `gcc` (the prefix of its C tools)
# and `libc` (the end of the name of Debian's package of its C library).
choose() {
  case $1 in
    aarch64)
      target=aarch64-unknown-linux-gnu
      gcc=aarch64-linux-gnu
      libc=arm64-cross
      features=()
      ;;
    armv7)
      # Cranelift has no backend for 32-bit ARM: guests run on wasmtime's interpreter there.
      target=armv7-unknown-linux-gnueabihf
      gcc=arm-linux-gnueabihf
      libc=armhf-cross
      features=(--features pulley)
      ;;
    *) fail "unknown target $1; there are aarch64 and armv7" ;;
  esac
}

# Points cargo and the build scripts of C code at the target's compiler.
use_c_tools() {
  local tool name=${target//-/_}
  for tool in gcc ar; do
    command -v "$gcc-$tool" >/dev/null ||
      fail "$gcc-$tool is missing; on Debian and Ubuntu: apt-get install gcc-$gcc libc6-dev-$libc"
  done
  export "CC_$name=$gcc-gcc" "AR_$name=$gcc-ar" "CARGO_TARGET_${name^^}_LINKER=$gcc-gcc"
}

# Says how the standard library comes: sets `std` to the arguments that build it, none where the target is installed.
choose_std() {
  std=()
  if compgen -G "$(rustc --print target-libdir --target "$target")/libstd-*.rlib" >/dev/null; then
    return
  fi
  [ -f "$(rustc --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock" ] ||
    fail "no standard library for $target: run 'rustup target add $target', or 'rustup component add rust-src'"
  echo "cross/build.sh: $target is not installed; building its standard library from source"
  # A stable toolchain has the option too, but asks for this. The release profile aborts on panic; what unwinding takes,
  # std brings along in any case.
  export RUSTC_BOOTSTRAP=1
  std=(-Zbuild-std=std,panic_abort)
}

# Sets `remap`: where sources lie on this machine is nobody's business, makes the binary larger, and would make it
# another one on every machine.
choose_remap() {
  local dir
  remap="--remap-path-prefix=$(rustc --print sysroot)/lib/rustlib/src/rust/="
  for dir in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/; do
    remap+=" --remap-path-prefix=$dir="
  done
}

build() {
  choose "$1"
  use_c_tools
  choose_std
  choose_remap
  # Nothing unwinds: the release profile aborts on panic. The tables for it would be a megabyte.
  RUSTFLAGS="${RUSTFLAGS-} -Cforce-unwind-tables=no $remap" \
    cargo build --locked --release -p twinlet --target "$target" "${features[@]}" "${std[@]}"
  local binary=$CARGO_TARGET_DIR/$target/release/twinlet size
  size=$(stat -c %s "$binary")
  echo "$target: $size bytes of $budget: $binary"
  [ "$size" -le "$budget" ] || fail "$target is larger than its budget of $budget bytes"
}

[ $# -gt 0 ] || set -- aarch64 armv7
for name; do
  build "$name"
done
