#!/usr/bin/env bash
# The program for 64-bit ARM: checks its types, and runs the tests of the models crate, whose kernels differ between processors, in an emulator:
# scripts/check_aarch64.sh [TEST-ARGUMENT...]
#
# As root on Debian it installs the cross compiler and the emulator. No library of the other architecture is needed for the check: headers and
# pkg-config's answers are taken from this machine's own, and nothing is linked against them. Some twenty minutes the first time.
set -euo pipefail
cd "$(dirname "$0")/.."

target=aarch64-unknown-linux-gnu
tools=(gcc-aarch64-linux-gnu g++-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static)
if ! command -v aarch64-linux-gnu-g++ >/dev/null || ! command -v qemu-aarch64-static >/dev/null; then
    [ "$(id -u)" = 0 ] || { echo "check_aarch64: apt-get install ${tools[*]}" >&2; exit 1; }
    apt-get install -y -qq "${tools[@]}" >/dev/null
fi
rustup target list --installed | grep -qx $target || rustup target add $target

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -L /usr/aarch64-linux-gnu"
export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc CXX_aarch64_unknown_linux_gnu=aarch64-linux-gnu-g++
export CFLAGS_aarch64_unknown_linux_gnu="-idirafter /usr/include -idirafter /usr/include/$(gcc -print-multiarch)"
export PKG_CONFIG_ALLOW_CROSS=1

# The sizes of numbers are those of every 64-bit machine, which is all that the headers of the other architecture would say.
cargo check --locked --bin avicuna --target $target
cargo test --locked --package avicuna-models --lib --target $target -- "$@"
