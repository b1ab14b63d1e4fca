#!/usr/bin/env bash
# The tests of the models crate, whose kernels differ between processors, for 64-bit ARM in an emulator: scripts/check_aarch64.sh [TEST-ARGUMENT...]
#
# As root on Debian it installs the cross compiler and the emulator. Tests that start programs are left out: emulated, a program that is not there
# seems to have been started. Some ten minutes the first time.
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
cargo test --locked --package avicuna-models --lib --target $target -- --skip fetch:: "$@"
