#!/usr/bin/env bash
# Tries the interface of a running daemon against its own document with schemathesis: every call, right and wrong.
#   scripts/check_api.sh [PROGRAM] [EXAMPLES]
set -euo pipefail
cd "$(dirname "$0")/.."
program=${1:-target/debug/avicuna}
examples=${2:-25}
venv=${AVICUNA_CACHE:-$HOME/.cache/avicuna}/venv-schemathesis
if ! "$venv/bin/schemathesis" --version >/dev/null 2>&1; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet schemathesis==4.32.5
fi

folder=$(mktemp -d)
trap 'kill "$daemon" 2>/dev/null || true; wait "$daemon" 2>/dev/null || true; rm -rf "$folder"' EXIT
"$program" token check --role admin >"$folder/tokens" 2>"$folder/token"
cat >"$folder/avicuna.toml" <<TOML
model.path = "assets/models/avicuna-small"
outbox.path = "$folder/outbox.redb"
control.listen = "127.0.0.1:0"
control.token_file = "$folder/tokens"
sink.kind = "jsonl"
sink.jsonl.path = "$folder/out.jsonl"
daemon.exit_when_done = false
[[stream]]
id = "cam"
uri = "test://?width=64&height=64&fps=5&wave=ticks"
live = true
TOML
"$program" run --config "$folder/avicuna.toml" 2>"$folder/log" &
daemon=$!
address=
for _ in $(seq 240); do
    address=$(sed -n 's/.*probes and metrics are served.*address=\([0-9.:]*\).*/\1/p' "$folder/log" | head -1)
    if [ -n "$address" ] && curl -sf "http://$address/readyz" >/dev/null; then break; fi
    kill -0 "$daemon" || { cat "$folder/log"; exit 1; }
    sleep 0.5
done
"$venv/bin/schemathesis" --config-file tests/api/schemathesis.toml run "http://$address/openapi.json" \
    --header "Authorization: Bearer $(tail -1 "$folder/token")" --max-examples "$examples" --seed 1 \
    --phases examples,coverage,fuzzing --suppress-health-check all
kill -0 "$daemon" || { echo "the daemon did not survive"; cat "$folder/log"; exit 1; }
if grep -q "panicked" "$folder/log"; then cat "$folder/log"; exit 1; fi
