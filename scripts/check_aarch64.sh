#!/usr/bin/env bash
# Whether all works on 64-bit ARM, tried in an emulator:
#
#   scripts/check_aarch64.sh kernels [TEST-ARGUMENT...]   the tests of the models crate, whose kernels differ between processors; ten minutes the first time
#   scripts/check_aarch64.sh program                      the whole program, built against Debian's packages for ARM, tells a rooster's crow; half an hour
#
# As root on Debian it installs the cross compiler and the emulator. Tests that start programs are left out: emulated, a program that is not there
# seems to have been started.
set -euo pipefail
cd "$(dirname "$0")/.."

target=aarch64-unknown-linux-gnu
arch=aarch64-linux-gnu
tools=("gcc-$arch" "g++-$arch" libc6-dev-arm64-cross qemu-user-static)
# What the program is built with, and what it plays a recording with.
packages=(libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev libgstreamer-plugins-bad1.0-dev libgstrtspserver-1.0-dev libssl-dev
    libcurl4-openssl-dev libsasl2-dev zlib1g-dev gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-libav)
# The plugins that a WAV file needs: others want devices, or threads that the emulator has not.
plugins=(coreelements wavparse audioconvert audioresample audiorate typefindfunctions playback app audioparsers videoconvertscale videorate)
work=$PWD/target/aarch64
system=${AVICUNA_CACHE:-$HOME/.cache/avicuna}/debian/arm64

die() {
    echo "check_aarch64: $*" >&2
    exit 1
}

prepare() {
    if ! command -v $arch-g++ >/dev/null || ! command -v qemu-aarch64-static >/dev/null; then
        [ "$(id -u)" = 0 ] || die "apt-get install ${tools[*]}"
        apt-get install -y -qq "${tools[@]}" >/dev/null
    fi
    rustup target list --installed | grep -qx $target || rustup target add $target
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$arch-gcc
    export CC_aarch64_unknown_linux_gnu=$arch-gcc CXX_aarch64_unknown_linux_gnu=$arch-g++
}

kernels() {
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -L /usr/$arch"
    cargo test --locked --package avicuna-models --lib --target $target -- --skip fetch:: "$@"
}

# The files of Debian's packages, as a compiler and an emulator look for them: nothing in them is run while they are laid out.
lay_out() {
    [ ! -e "$system/done" ] || return 0
    [ "$(id -u)" = 0 ] || die "run this as root: it lays out a Debian 12 for ARM"
    command -v debootstrap >/dev/null || die "debootstrap is missing; run scripts/setup.sh package"
    local mirror list link
    mirror=$(scripts/mirror.sh)
    list=$(IFS=, && echo "${packages[*]}")
    rm -rf "$system"
    mkdir -p "$system"
    debootstrap --foreign --arch=arm64 --variant=minbase --include="$list" bookworm "$system" "$mirror" >"$work/debootstrap.log" ||
        die "debootstrap failed; see $work/debootstrap.log"
    find "$system/var/cache/apt/archives" -name '*.deb' -exec dpkg -x {} "$system" \; -delete
    # Links from the root of that system would lead into this one.
    while read -r link; do
        ln -sfn "$(realpath -m --relative-to="$(dirname "$link")" "$system$(readlink "$link")")" "$link"
    done < <(find "$system/usr/lib" "$system/lib/" -type l -lname '/*')
    touch "$system/done"
}

build() {
    cat >"$work/toolchain.cmake" <<END
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER $arch-gcc)
set(CMAKE_CXX_COMPILER $arch-g++)
set(CMAKE_SYSROOT $system)
set(CMAKE_LIBRARY_ARCHITECTURE $arch)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
END
    PKG_CONFIG_ALLOW_CROSS=1 PKG_CONFIG_SYSROOT_DIR=$system \
        PKG_CONFIG_LIBDIR=$system/usr/lib/$arch/pkgconfig:$system/usr/share/pkgconfig \
        CMAKE_TOOLCHAIN_FILE_aarch64_unknown_linux_gnu=$work/toolchain.cmake \
        CFLAGS_aarch64_unknown_linux_gnu=--sysroot=$system CXXFLAGS_aarch64_unknown_linux_gnu=--sysroot=$system \
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS=-Clink-arg=--sysroot=$system \
        OPENSSL_LIB_DIR=$system/usr/lib/$arch OPENSSL_INCLUDE_DIR=$system/usr/include \
        cargo build --locked --bin avicuna --target $target
}

# ONNX Runtime of the version that this machine has; it asks /proc/cpuinfo for the processor, which the emulator shows as the real one.
runtime() {
    local version
    version=$(sed -n 's/^ *"onnxruntime==\([^|]*\)|onnxruntime\/capi.*/\1/p' scripts/setup.sh | head -n 1)
    python3 -m pip download -q --no-deps --only-binary=:all: --platform manylinux_2_28_aarch64 --python-version 3.12 -d "$work" "onnxruntime==$version"
    python3 -m zipfile -e "$work/onnxruntime-$version-"*.whl "$work/wheel"
    library=$work/wheel/onnxruntime/capi/libonnxruntime.so.$version
    for processor in 0 1; do
        printf 'processor\t: %s\nFeatures\t: fp asimd aes sha1 sha2 crc32 atomics fphp asimdhp asimdrdm asimddp\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x3\nCPU part\t: 0xd0c\nCPU revision\t: 1\n\n' "$processor"
    done >"$work/cpuinfo"
}

program() {
    local crow=/usr/share/tuxpaint/stamps/animals/birds/rooster.ogg plugin told
    [ -e "$crow" ] || die "$crow is not there; run scripts/setup.sh"
    mkdir -p "$work/plugins"
    lay_out
    build
    runtime
    for plugin in "${plugins[@]}"; do
        cp "$system/usr/lib/$arch/gstreamer-1.0/libgst$plugin.so" "$work/plugins"
    done
    ffmpeg -v error -y -i "$crow" -af aloop=loop=2:size=2e6,apad -t 10 "$work/rooster.wav"
    # shellcheck disable=SC2016 # The dollars are for the shell that has its own view of /proc.
    told=$(ORT_DYLIB_PATH=$library GST_REGISTRY=$work/registry.bin GST_REGISTRY_FORK=no GST_PLUGIN_SYSTEM_PATH_1_0=$work/plugins \
        unshare --mount bash -c 'mount --bind "$1" /proc/cpuinfo && shift && exec "$@"' - "$work/cpuinfo" \
        qemu-aarch64-static -cpu neoverse-n1 -L "$system" "${CARGO_TARGET_DIR:-target}/$target/debug/avicuna" localize "$work/rooster.wav" --format json)
    grep -q '"label":"a rooster"' <<<"$told" || die "it should have told a rooster: $told"
    echo "the program for 64-bit ARM tells: $(grep -oE '"(label|score)":[^,]*' <<<"$told" | tr '\n' ' ')"
}

case ${1:-} in
kernels) prepare && shift && kernels "$@" ;;
program) mkdir -p "$work" && prepare && program ;;
*) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
