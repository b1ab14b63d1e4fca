#!/usr/bin/env bash
# Runs the tests of the page in Chromium, before a real daemon that watches assets/demo/scene.mp4. AVICUNA_BIN is the
# program, by default target/debug/avicuna, CHROMIUM the browser. Arguments go to Playwright.
set -euo pipefail
cd "$(dirname "$0")/.."

export AVICUNA_BIN=${AVICUNA_BIN:-${CARGO_TARGET_DIR:-$PWD/target}/debug/avicuna}
export CHROMIUM=${CHROMIUM:-/usr/bin/chromium}

if [ ! -x "$CHROMIUM" ]; then
    echo "test_page: there is no $CHROMIUM; apt-get install chromium, or name one: CHROMIUM=PATH" >&2
    exit 1
fi
"$AVICUNA_BIN" models pull assets/models/avicuna-small
cd server/page
[ -d node_modules ] || npm ci
npx playwright test "$@"
