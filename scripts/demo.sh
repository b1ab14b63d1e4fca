#!/usr/bin/env bash
# Serves the demo scene as a live RTSP stream, watches it, and prints the events as a Kafka consumer reads them.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${AVICUNA_BIN:-target/release}
scene=assets/demo/scene
seconds=60
work=$(mktemp -d)
pids=()

finish() {
    kill "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

log=$work/daemon.log

die() {
    echo "demo: $*" >&2
    [ ! -s "$log" ] || tail -n 20 "$log" >&2
    exit 1
}

# Waits until the daemon's log has a line with $1.
await() {
    for _ in $(seq 600); do
        grep -q "$1" "$log" && return
        kill -0 "$daemon" 2>/dev/null || die "the daemon ended"
        sleep 0.1
    done
    die "nothing of \"$1\" within a minute"
}

# Any free ports: two demos, or one beside a daemon, do not get into each other's way.
"$bin/examples/serve_rtsp" "$scene.mp4" 0 >"$work/camera" 2>"$log" &
server=$!
pids+=("$server")
until camera=$(grep '^rtsp://' "$work/camera"); do
    kill -0 "$server" 2>/dev/null || die "the camera ended"
    sleep 0.1
done
AVICUNA__STREAM__SCENE__URI=$camera AVICUNA__CONTROL__LISTEN=127.0.0.1:0 AVICUNA__OUTBOX__PATH=$work/outbox.redb \
    AVICUNA__CLIPS__STORE=$work/clips \
    "$bin/avicuna" run --config config/demo.toml 2>"$log" &
daemon=$!
pids+=("$daemon")

await "embedded Kafka broker"
broker=$(sed -n 's/.*embedded Kafka broker.*"brokers":"\([^"]*\)".*/\1/p' "$log")
page=$(sed -n 's/.*probes and metrics are served.*"address":"\([^"]*\)".*/\1/p' "$log")
echo "the scene is live at $camera, the broker at $broker"
echo "look at it, as long as this runs: http://$page/"
mkfifo "$work/events"
python3 -u scripts/show_events.py --truth "$scene.json" <"$work/events" &
shown=$!
kcat -q -C -b "$broker" -t avicuna.events -o beginning -u -J >"$work/events" 2>/dev/null &
consumer=$!
pids+=("$consumer" "$shown")

await '"message":"connected"'
sleep "$seconds"
# The camera goes away; what is still open ends when the windows that could have seen it are over.
kill "$server" 2>/dev/null || true
sleep 20
kill -USR1 "$shown"
for _ in $(seq 60); do
    kill -0 "$shown" 2>/dev/null || break
    sleep 1
done
kill -TERM "$consumer" 2>/dev/null || true
wait "$shown" || true
kill -TERM "$daemon"
wait "$daemon" || die "the daemon ended with $?"
