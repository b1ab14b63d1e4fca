#!/usr/bin/env bash
# Builds the image of the daemon from the packages in target/package, and runs it as a user with a read-only root:
# scripts/test_container.sh
#
# Wants root, `scripts/setup.sh lint package`, and what `scripts/package.sh deb` makes. The image's base is a Debian 12 of its own, so that no registry is needed;
# the first stage of the Dockerfile, which builds the packages, is the one thing left out. Nothing is left in the storage of podman.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=target/package
work=$(mktemp -d)
image=localhost/avicuna
promtool=${AVICUNA_CACHE:-$HOME/.cache/avicuna}/prometheus/usr/bin/promtool
storage=(--root "$work/storage" --runroot "$work/runroot" --runtime runc)

finish() {
    podman "${storage[@]}" rm --force --all >/dev/null 2>&1 || true
    podman "${storage[@]}" rmi --force --all >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap finish EXIT

die() {
    echo "test_container: $*" >&2
    podman "${storage[@]}" logs daemon 2>&1 | tail -n 30 >&2 || true
    exit 1
}

step() {
    echo "test_container: $*"
}

await() {
    local what=$1
    shift
    for _ in $(seq 600); do
        "$@" >/dev/null 2>&1 && return
        sleep 1
    done
    die "$what: not within 10 minutes"
}

call() {
    nsenter --target "$pid" --net curl -s --max-time 5 "$@"
}

is_watched() {
    call http://127.0.0.1:9464/readyz | grep -q '"yard":{"state":"watching"'
}

is_healthy() {
    podman "${storage[@]}" healthcheck run daemon
}

for tool in podman runc curl docker-compose "$promtool"; do
    command -v "$tool" >/dev/null || die "$tool is missing; run scripts/setup.sh lint package"
done
ls "$packages"/avicuna_*_amd64.deb >/dev/null 2>&1 || die "no package in $packages; run scripts/package.sh deb"

step "what is put together by compose"
docker-compose -f deploy/compose.yaml config --quiet
"$promtool" check config --syntax-only deploy/compose/prometheus.yml

step "the base"
scripts/root.sh "$work/base"
# Of the base images, not of a machine.
rm "$work/base/usr/sbin/policy-rc.d"
tar -C "$work/base" -c . | podman "${storage[@]}" import --quiet - localhost/debian >/dev/null
rm -rf "$work/base"

step "the image"
mkdir -p "$work/build/src/target"
cp -r "$packages" "$work/build/src/target/package"
podman "${storage[@]}" build --quiet --format docker --isolation chroot --network host --build-context build="$work/build" \
    --build-arg RUNTIME=localhost/debian --file deploy/container/Dockerfile --tag "$image" . >/dev/null
size=$(podman "${storage[@]}" image inspect --format '{{.Size}}' "$image")
base=$(podman "${storage[@]}" image inspect --format '{{.Size}}' localhost/debian)
echo "test_container: the image has $((size / 1000000)) MB, $(((size - base) / 1000000)) MB of them above its base"

step "a token, and what is said without one"
run=(podman "${storage[@]}" run --network none --ulimit nofile=1024:4096 --ulimit nproc=4096:4096 --read-only --tmpfs /tmp --cap-drop all
    --security-opt no-new-privileges)
said=$("${run[@]}" --rm "$image" 2>&1) && die "it starts without anybody to let in"
grep -q token <<<"$said" || die "it does not say what it wants: $said"
"${run[@]}" --rm "$image" token me --role admin >"$work/tokens" 2>"$work/told"
token=$(tail -n 1 "$work/told")

step "the daemon"
mkdir "$work/state"
chown 64000:64000 "$work/state"
"${run[@]}" --detach --name daemon --volume "$work/state:/var/lib/avicuna" --volume "$work/tokens:/run/secrets/avicuna-tokens:ro" \
    --env AVICUNA__STREAM__0__ID=yard --env "AVICUNA__STREAM__0__URI=test://?pattern=ball&wave=ticks" \
    --env AVICUNA__STREAM__0__ISOLATION=process "$image" >/dev/null
pid=$(podman "${storage[@]}" inspect --format '{{.State.Pid}}' daemon)
await "the stream is watched" is_watched
is_healthy >/dev/null || die "the health check says no"
[ "$(stat -c %u "/proc/$pid")" = 64000 ] || die "it runs as another user than 64000"
[ "$(call -o /dev/null -w '%{http_code}' http://127.0.0.1:9464/v1/streams)" = 401 ] || die "anybody is let in"
[ "$(call -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $token" http://127.0.0.1:9464/v1/streams)" = 200 ] || die "the token is not let in"

step "a daemon that hangs is not healthy"
kill -STOP "$pid"
! is_healthy >/dev/null 2>&1 || die "the health check says yes"
kill -CONT "$pid"
await "it is healthy again" is_healthy

step "an orderly end"
podman "${storage[@]}" stop --time 30 daemon >/dev/null
[ "$(podman "${storage[@]}" inspect --format '{{.State.ExitCode}}' daemon)" = 0 ] || die "it did not end in order"
[ -s "$work/state/outbox.redb" ] || die "the outbox is not in the volume"
step "good"
