#!/usr/bin/env bash
# Makes of the optimised build what users install, in target/package:
#
#   scripts/package.sh deb [VERSION]   Debian packages of the daemon and of its model; the workspace's version with revision 1 unless it is named
#   scripts/package.sh release         those, an archive that runs where it is unpacked, a bill of materials, licences and SHA256SUMS
#
# Wants `make model` and `scripts/setup.sh package`.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${AVICUNA_BIN:-target/release}
cache=${AVICUNA_CACHE:-$HOME/.cache/avicuna}
model=assets/models/avicuna-natural
out=$PWD/target/package

die() {
    echo "package: $*" >&2
    exit 1
}

version_of_workspace() {
    sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml
}

# The model directory as it is, and beside it every part that its model.toml has fetched elsewhere.
lay_out_model() {
    local target=$1 file
    mkdir -p "$target"
    cp -r "$model/." "$target"
    while read -r file; do
        [ ! -e "$target/$file" ] || continue
        [ -e "$cache/models/$file" ] || die "$file of the model is not there; run make model"
        mkdir -p "$(dirname "$target/$file")"
        cp -r "$cache/models/$file" "$target/$file"
    done < <(grep -oE '\bfile = "[^"]+"' "$model/model.toml" | cut -d '"' -f 2 | sort -u)
    # With no cache to look into, the copy has to be whole by itself; what is not the file that model.toml names is found by its sha256.
    AVICUNA_CACHE=$target/nothing "$bin/avicuna" models pull "$target" >/dev/null ||
        die "the model in $target is not whole; run make model"
    rm -rf "$target/nothing"
}

# What the packages hold, as debian/*.install names it.
lay_out() {
    local stage=$1 shell
    mkdir -p "$stage/completions" "$stage/config" "$stage/onnxruntime"
    cp "$bin/avicuna" "$stage/avicuna"
    cp deploy/deb/avicuna.toml "$stage/avicuna.toml"
    cp "$cache/onnxruntime/libonnxruntime.so" "$stage/libonnxruntime.so"
    chmod 644 "$stage/libonnxruntime.so"
    cp "$cache"/onnxruntime/{LICENSE,ThirdPartyNotices.txt} "$stage/onnxruntime"
    cp -r config/avicuna.toml config/schemas config/asyncapi.yaml "$stage/config"
    "$bin/avicuna" man "$stage/man"
    for shell in bash zsh fish; do
        "$bin/avicuna" completions "$shell" >"$stage/completions/$shell"
    done
    mv "$stage/completions/bash" "$stage/completions/avicuna"
    mv "$stage/completions/zsh" "$stage/completions/_avicuna"
    mv "$stage/completions/fish" "$stage/completions/avicuna.fish"
    scripts/made_of.py licences >"$stage/THIRD-PARTY-LICENCES.txt"
    lay_out_model "$stage/avicuna-natural"
}

changelog() {
    cat <<END
avicuna ($1) unstable; urgency=medium

  * What changed is in changelog.gz.

 -- AVicuna Stream maintainers <maintainers@avicuna.example.org>  $(date -R -u -d "@$SOURCE_DATE_EPOCH")
END
}

deb() {
    local version=$1 tree=$work/tree
    for tool in dh fakeroot dpkg-buildpackage; do
        command -v "$tool" >/dev/null || die "$tool is missing; run scripts/setup.sh package"
    done
    mkdir "$tree"
    cp -r deploy/deb/debian README.md CHANGELOG.md "$tree"
    mkdir "$tree/docs"
    cp docs/*.md "$tree/docs"
    lay_out "$tree/stage"
    changelog "$version" >"$tree/debian/changelog"
    (cd "$tree" && dpkg-buildpackage --build=binary --no-sign --no-check-builddeps >"$work/log" 2>&1) || {
        tail -n 40 "$work/log" >&2
        die "dpkg-buildpackage failed; see above"
    }
    mkdir -p "$out"
    mv "$work"/*.deb "$work"/*.changes "$work"/*.buildinfo "$out"
    du -h "$out"/*_"${version}"_*.deb
}

# The program finds ONNX Runtime in ../lib/avicuna wherever it is unpacked; GStreamer is the system's.
archive() {
    local stage=$work/tree/stage name=$1 root
    root=$work/$name
    mkdir -p "$root"/{bin,lib/avicuna,share/avicuna/models,share/man/man1,share/completions,share/doc}
    cp "$stage/avicuna" "$root/bin"
    cp "$stage/libonnxruntime.so" "$root/lib/avicuna"
    cp -r "$stage/config" "$root/share/avicuna"
    mv "$stage/avicuna-natural" "$root/share/avicuna/models"
    cp "$stage"/man/*.1 "$root/share/man/man1"
    cp "$stage"/completions/* "$root/share/completions"
    cp -r README.md CHANGELOG.md LICENSE docs/*.md "$stage/THIRD-PARTY-LICENCES.txt" "$stage/onnxruntime/ThirdPartyNotices.txt" "$root/share/doc"
    tar -C "$work" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -c "$name" | gzip -n -1 >"$out/$name.tar.gz"
}

release() {
    local version
    version=$(version_of_workspace)
    rm -rf "$out"
    deb "$version-1"
    cp "$work/tree/stage/THIRD-PARTY-LICENCES.txt" "$out/avicuna-$version-licences.txt"
    scripts/made_of.py sbom >"$out/avicuna-$version.cdx.json"
    archive "avicuna-$version-x86_64-linux"
    rm "$out"/*.changes "$out"/*.buildinfo
    (cd "$out" && sha256sum -- * >"$work/sums" && mv "$work/sums" SHA256SUMS && cat SHA256SUMS)
}

[ -x "$bin/avicuna" ] || die "$bin/avicuna is not there; run make build"
[ -f "$cache/onnxruntime/LICENSE" ] || die "the licence of ONNX Runtime is not there; run scripts/setup.sh package"
# Two builds of one commit give the same bytes.
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || date +%s)}"
export SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case ${1:-} in
    deb) deb "${2:-$(version_of_workspace)-1}" ;;
    release) release ;;
    *) die "say what to make: scripts/package.sh deb [VERSION], or scripts/package.sh release" ;;
esac
