#!/usr/bin/env bash
# Installs the Debian packages in a fresh Debian 12, runs the service there under systemd, changes, upgrades and purges it:
# scripts/test_deb.sh
#
# Wants root, for a container of systemd-nspawn, and what `scripts/package.sh deb` makes, which it makes anew.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${AVICUNA_BIN:-target/release}
packages=target/package
work=$(mktemp -d)
root=$work/root
pids=()

finish() {
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

die() {
    echo "test_deb: $*" >&2
    [ ! -s "$work/journal" ] || tail -n 40 "$work/journal" >&2
    exit 1
}

step() {
    echo "test_deb: $*"
}

# Runs a command in the container; "net" only in its network, with the programs of this machine.
in_guest() {
    nsenter --target "$leader" --mount --uts --ipc --net --pid --root --wd env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

in_net() {
    nsenter --target "$leader" --net "$@"
}

# Waits for a command to succeed.
await() {
    local what=$1
    shift
    for _ in $(seq 600); do
        "$@" >/dev/null 2>&1 && return
        sleep 1
    done
    in_guest journalctl -u avicuna --no-pager >"$work/journal" 2>&1 || true
    die "$what: not within 10 minutes"
}

is_ready() {
    in_net curl -sf --max-time 5 http://127.0.0.1:9464/readyz
}

# Is the stream $1 in the state $2?
is_stream() {
    is_ready | python3 -c 'import json, sys
sys.exit(json.load(sys.stdin)["streams"].get(sys.argv[1], {}).get("state") != sys.argv[2])' "$1" "$2"
}

has_event() {
    in_guest journalctl -u avicuna -o cat --no-pager | grep -q '"phase":"started"'
}

boot() {
    # What a system of its own allows: processes of sources lock themselves in.
    systemd-nspawn --quiet --directory "$root" --boot --private-network --register=no --keep-unit --console=read-only \
        --system-call-filter="landlock_create_ruleset landlock_add_rule landlock_restrict_self seccomp" \
        >"$work/console" 2>&1 &
    pids+=("$!")
    local nspawn=$!
    for _ in $(seq 300); do
        leader=$(cut -d ' ' -f 1 "/proc/$nspawn/task/$nspawn/children" 2>/dev/null) || true
        # One of its own units may have no place in a container.
        case $([ -z "$leader" ] || in_guest systemctl is-system-running 2>/dev/null) in
            running | degraded) return 0 ;;
        esac
        sleep 1
    done
    tail -n 20 "$work/console" >&2
    die "systemd does not come up in the container"
}

for tool in debootstrap systemd-nspawn lintian curl; do
    command -v "$tool" >/dev/null || die "$tool is missing; run scripts/setup.sh package"
done
[ "$(id -u)" -eq 0 ] || die "run this as root"

rm -rf "$packages"
scripts/package.sh deb
version=$(basename "$packages"/avicuna_*_amd64.deb | cut -d _ -f 2)
newer=$version+next1
scripts/package.sh deb "$newer" >/dev/null

step "lintian"
lintian --allow-root --fail-on error,warning --no-tag-display-limit "$packages"/avicuna_"${version}"_amd64.changes

step "a fresh Debian 12, and avicuna $version in it"
mkdir -p "$root/srv"
scripts/root.sh "$root" systemd systemd-sysv dbus
rm "$root/usr/sbin/policy-rc.d"
cp "$packages"/*.deb "$root/srv"
chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    "/srv/avicuna_${version}_amd64.deb" "/srv/avicuna-model-natural_${version}_all.deb" >"$work/apt" 2>&1 || {
    tail -n 20 "$work/apt" >&2
    die "apt-get does not install the packages"
}
chroot "$root" apt-get clean
chroot "$root" avicuna --version
chroot "$root" env AVICUNA_CACHE=/nothing avicuna config check /etc/avicuna/avicuna.toml
chroot "$root" systemd-analyze verify --man=no /lib/systemd/system/avicuna.service
chroot "$root" systemd-analyze security --offline=yes --no-pager --threshold=25 avicuna.service | tail -n 1
for file in usr/share/man/man1/avicuna-run.1.gz usr/share/bash-completion/completions/avicuna \
    usr/share/zsh/vendor-completions/_avicuna usr/share/fish/vendor_completions.d/avicuna.fish \
    usr/share/doc/avicuna/THIRD-PARTY-LICENCES.txt.gz; do
    [ -s "$root/$file" ] || die "$file is not in the package"
done

step "systemd starts it"
boot
await "the service" in_guest systemctl is-active avicuna
await "the default configuration, without a stream" is_ready
in_guest systemctl show avicuna --property StatusText,WatchdogUSec,MainPID,NRestarts
in_guest systemctl show avicuna --property StatusText | grep -q "streams: none" || die "no stream is told of, and no status"
user=$(in_guest stat -c %u "/proc/$(in_guest systemctl show avicuna --property MainPID --value)")
[ "$user" -ge 61184 ] || die "it runs as the user $user, which is no dynamic one"

step "a camera is added to the configuration, and seen and heard"
in_net "$bin/examples/serve_rtsp" assets/demo/scene.mp4 0 >"$work/camera" 2>/dev/null &
pids+=("$!")
await "the camera" grep -q '^rtsp://' "$work/camera"
cat >>"$root/etc/avicuna/avicuna.toml" <<END
[[stream]]
id = "yard"
uri = "$(grep '^rtsp://' "$work/camera")"
END
chroot "$root" avicuna config check /etc/avicuna/avicuna.toml
in_guest systemctl reload avicuna
await "the camera is watched" is_stream yard watching
in_guest systemctl show avicuna --property StatusText | grep -q "1 watched" || await "a status" in_guest sh -c \
    'systemctl show avicuna --property StatusText | grep -q "1 watched"'
await "an event" has_event
in_guest journalctl -u avicuna -o cat --no-pager >"$work/journal"
! grep -iE "landlock|seccomp|not permitted|read-only file system" "$work/journal" || die "the unit keeps it from something; see above"

step "upgrade to $newer"
in_guest env DEBIAN_FRONTEND=noninteractive dpkg -i "/srv/avicuna_${newer}_amd64.deb" "/srv/avicuna-model-natural_${newer}_all.deb" \
    >"$work/apt" 2>&1 || { cat "$work/apt" >&2; die "dpkg does not upgrade"; }
grep -q 'id = "yard"' "$root/etc/avicuna/avicuna.toml" || die "the configuration was not kept"
await "the camera is watched again" is_stream yard watching
in_guest dpkg-query --list avicuna | grep -qF " $newer " || die "it was not upgraded"

step "a daemon that hangs is killed and started again"
pid=$(in_guest systemctl show avicuna --property MainPID --value)
in_guest kill -STOP "$pid"
restarted() {
    [ "$(in_guest systemctl show avicuna --property NRestarts --value)" -ge 1 ] && is_stream yard watching
}
await "the watchdog" restarted
in_guest journalctl -u avicuna --no-pager | grep -m 1 -i "watchdog timeout" || die "it was not the watchdog"

step "a wrong configuration is refused, and not tried again"
cp "$root/etc/avicuna/avicuna.toml" "$work/good.toml"
echo 'colour = "red"' >>"$root/etc/avicuna/avicuna.toml"
! in_guest systemctl restart avicuna 2>/dev/null || die "it starts all the same"
sleep 12
[ "$(in_guest systemctl is-failed avicuna)" = failed ] || die "it is tried again and again"
[ "$(in_guest systemctl show avicuna --property ExecMainStatus --value)" = 2 ] || die "it did not say what is wrong"
cp "$work/good.toml" "$root/etc/avicuna/avicuna.toml"
in_guest systemctl start avicuna

step "purge"
in_guest env DEBIAN_FRONTEND=noninteractive dpkg --remove avicuna avicuna-model-natural >/dev/null 2>&1
for kept in etc/avicuna/avicuna.toml var/lib/private/avicuna; do
    [ -e "$root/$kept" ] || die "removing it deleted /$kept"
done
in_guest env DEBIAN_FRONTEND=noninteractive dpkg --purge avicuna avicuna-model-natural >/dev/null 2>&1
left=$(find "$root/etc" "$root/usr" "$root/var" -xdev -path '*avicuna*' -not -path "*/var/log/*" -print)
[ -z "$left" ] || die "purging it leaves $left"
in_guest systemctl cat avicuna >/dev/null 2>&1 && die "systemd still knows the unit"
step "good"
