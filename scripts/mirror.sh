#!/usr/bin/env bash
# Prints the mirror of Debian 12 that this machine's own packages come from, or the one named in DEBIAN_MIRROR: scripts/mirror.sh
set -euo pipefail

# shellcheck disable=SC2016 # The dollars are apt's.
mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(SITE) $(CODENAME)' 'Created-By: Packages' | sed -n 's/ bookworm$//p' | head -n 1)}
[ -n "$mirror" ] || { echo "mirror: apt knows no mirror of Debian 12; name one in DEBIAN_MIRROR" >&2 && exit 1; }
echo "$mirror"
