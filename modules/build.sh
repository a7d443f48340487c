#!/usr/bin/env bash
# Builds guest modules into components: modules/build.sh [--check] [--std target|build-std] [module…]
#
#   (nothing)  builds the modules (default: all) and writes them to prebuilt/, with prebuilt/SHA256SUMS
#   --check    builds them elsewhere and compares: exit 1 if a prebuilt is not what its source builds to, 2 if this
#              machine cannot tell
#   --std      which standard library to build with: `target`, the one that rustup installs for wasm32, or
#              `build-std`, built here from its source; default: `target` where it is installed. The bytes of the two
#              differ, so --check takes the one that made the prebuilt, which SHA256SUMS records
#
# These are the modules in Rust; those in other languages build-others.sh builds.
#
# The bytes depend on the sources, Cargo.lock, the toolchain and --std, and on no path, user or registry.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly triple=wasm32-unknown-unknown
readonly sums=prebuilt/SHA256SUMS
sysroot=$(rustc --print sysroot)
rust_src=$sysroot/lib/rustlib/src/rust
rustc_version=$(rustc --version | cut -d' ' -f2)
rustc_commit=$(rustc --version --verbose | sed -n 's/^commit-hash: //p')
cargo_home=${CARGO_HOME:-$HOME/.cargo}
target_dir=${CARGO_TARGET_DIR:-$PWD/target}

die() {
  echo "build.sh: $1" >&2
  exit "${2:-1}"
}

usage() {
  sed -n '2,/^$/s/^# \{0,1\}//p' build.sh | sed '/^set /,$d'
}

offers() {
  case $1 in
    target) [ -d "$sysroot/lib/rustlib/$triple/lib" ] ;;
    build-std) [ -f "$rust_src/library/Cargo.lock" ] ;;
    *) die "--std $1: neither target nor build-std" ;;
  esac
}

# The standard library to build with where none is asked for.
offered() {
  local std
  for std in target build-std; do
    if offers $std; then
      echo $std
      return
    fi
  done
  die "there is no standard library for $triple. Install it by: rustup target add $triple
(or its source, to build it here, by: rustup component add rust-src)"
}

# What a prebuilt was made with, as SHA256SUMS records it: `target` or `build-std`, and the version of rustc.
made_with() {
  sed -n "s/^# $1\.wasm: std \([a-z-]*\), rustc \(.*\)$/\1 \2/p" "$sums"
}

# Replaces what paths would leave in the module by names that are the same everywhere. The name of std's source is the
# one that an installed std carries.
remaps() {
  local dir
  echo "--remap-path-prefix=$PWD=/modules"
  echo "--remap-path-prefix=$rust_src=/rustc/$rustc_commit"
  for dir in "$cargo_home"/registry/src/*; do
    echo "--remap-path-prefix=$dir=/registry"
  done
}

# build <module> <std> <component>
build() {
  local module=$1 std=$2 component=$3 flags build_std=()
  # The registry's folders are named after its host, and must be there to be remapped.
  cargo fetch --quiet --locked --target $triple
  if [ "$std" = build-std ]; then
    RUSTC_BOOTSTRAP=1 cargo fetch --quiet --locked --target $triple --manifest-path "$rust_src/library/Cargo.toml"
    build_std=(-Zbuild-std=std,panic_abort)
  fi
  flags=$(remaps)
  if [ "$std" = build-std ]; then
    # A panic traps at once and its text is left out: a third of a small module.
    flags+=$'\n-Zunstable-options\n-Cpanic=immediate-abort'
  fi
  # One module at a time: built together, they would share the union of their features.
  (
    [ "$std" = target ] || export RUSTC_BOOTSTRAP=1
    export CARGO_ENCODED_RUSTFLAGS=${flags//$'\n'/$'\x1f'}
    cargo build --quiet --locked --release --target $triple --target-dir "$target_dir" -p "$module" "${build_std[@]}"
  )
  cargo run --quiet --locked --target-dir "$target_dir" -p pack -- \
    "$target_dir/$triple/release/${module//-/_}.wasm" "$component"
}

# Writes SHA256SUMS anew: the built modules' lines, and what stood there of the others.
record() {
  local std=$1 new=$tmp/SHA256SUMS module
  shift
  for module in $(all_modules); do
    [ -f "prebuilt/$module.wasm" ] || continue
    if [[ " $* " == *" $module "* ]]; then
      echo "# $module.wasm: std $std, rustc $rustc_version"
      (cd prebuilt && sha256sum "$module.wasm")
    else
      grep -E "^# $module\.wasm: |  $module\.wasm$" "$sums" || die "$sums: no line for $module.wasm"
    fi
  done >"$new"
  mv "$new" "$sums"
}

# Compares one prebuilt with what its source builds to.
check() {
  local module=$1 std rustc fresh=$tmp/$1.wasm
  read -r std rustc <<<"$(made_with "$module")" || true
  if [ ! -f "prebuilt/$module.wasm" ] || [ -z "${rustc:-}" ]; then
    echo "build.sh: $module: no prebuilt, or none that $sums knows" >&2
    return 1
  fi
  if [ "$rustc" != "$rustc_version" ]; then
    echo "build.sh: $module: cannot compare: the prebuilt was made by rustc $rustc, this is $rustc_version" >&2
    return 2
  fi
  if ! offers "$std"; then
    echo "build.sh: $module: cannot compare: the prebuilt was made with --std $std, which this machine lacks" >&2
    std=$(offered)
    build "$module" "$std" "$fresh"
    return 2
  fi
  build "$module" "$std" "$fresh"
  if ! cmp -s "$fresh" "prebuilt/$module.wasm"; then
    echo "build.sh: $module: the prebuilt is not what its source builds to: run modules/build.sh --std $std $module" >&2
    return 1
  fi
  echo "build.sh: $module: the prebuilt is what its source builds to" >&2
}

all_modules() {
  local manifest
  for manifest in $(grep -l '"cdylib"' */Cargo.toml); do
    dirname "$manifest"
  done
}

checking=
std=
modules=()
while [ $# -gt 0 ]; do
  case $1 in
    --check) checking=yes ;;
    --std) std=${2:?--std needs a value} && shift ;;
    -h | --help) usage && exit ;;
    -*) die "$1: no such option; see --help" ;;
    *) grep -qs '"cdylib"' "$1/Cargo.toml" || die "$1: no such module; there are: $(all_modules | xargs)"
      modules+=("$1") ;;
  esac
  shift
done
[ ${#modules[@]} -gt 0 ] || mapfile -t modules < <(all_modules)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

if [ -n "$checking" ]; then
  [ -z "$std" ] || die "--check takes the standard library that made the prebuilt"
  (cd prebuilt && sha256sum --quiet -c SHA256SUMS) || die "$sums does not fit the files beside it"
  worst=0
  for module in "${modules[@]}"; do
    # In a shell of its own, and not as a condition: there `set -e` would not hold.
    set +e
    (set -e; check "$module")
    outcome=$?
    set -e
    # Differing (1), or not building at all, outranks not knowing (2).
    case $outcome in
      0) ;;
      2) [ "$worst" = 1 ] || worst=2 ;;
      *) worst=1 ;;
    esac
  done
  exit "$worst"
fi

[ -n "$std" ] || std=$(offered)
offers "$std" || die "--std $std: not to be had on this machine"
mkdir -p prebuilt
for module in "${modules[@]}"; do
  build "$module" "$std" "$tmp/$module.wasm"
done
for module in "${modules[@]}"; do
  mv "$tmp/$module.wasm" "prebuilt/$module.wasm"
done
record "$std" "${modules[@]}"
