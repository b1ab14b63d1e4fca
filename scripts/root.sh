#!/usr/bin/env bash
# Lays out a small Debian 12 in an empty folder: scripts/root.sh DIR [PACKAGE...]
#
# Wants root. The packages are installed without what they only recommend; the first run keeps the system without them in the cache.
set -euo pipefail

dir=${1:?say where: scripts/root.sh DIR [PACKAGE...]}
shift
cache=${AVICUNA_CACHE:-$HOME/.cache/avicuna}/debian
kept=$cache/bookworm.tar

die() {
    echo "root: $*" >&2
    exit 1
}

[ "$(id -u)" -eq 0 ] || die "run this as root: it changes into the new system"
command -v debootstrap >/dev/null || die "debootstrap is missing; run scripts/setup.sh package"
if [ ! -f "$kept" ]; then
    mirror=$("$(dirname "$0")/mirror.sh")
    mkdir -p "$cache"
    new=$(mktemp -d)
    debootstrap --variant=minbase bookworm "$new/root" "$mirror" >"$new/log" 2>&1 || {
        tail -n 20 "$new/log" >&2
        die "debootstrap failed; see above"
    }
    tar -C "$new/root" -cf "$kept.part" .
    mv "$kept.part" "$kept"
    rm -rf "$new"
fi
mkdir -p "$dir"
tar -C "$dir" -xf "$kept"
cp /etc/resolv.conf "$dir/etc/resolv.conf"
# No service starts before the system does.
printf '#!/bin/sh\nexit 101\n' >"$dir/usr/sbin/policy-rc.d"
chmod +x "$dir/usr/sbin/policy-rc.d"
[ $# -eq 0 ] || {
    chroot "$dir" apt-get update -qq
    # Paths of packages are seen from the new system.
    chroot "$dir" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >"$dir/tmp/apt.log" 2>&1 || {
        tail -n 20 "$dir/tmp/apt.log" >&2
        die "the packages cannot be installed; see above"
    }
}
