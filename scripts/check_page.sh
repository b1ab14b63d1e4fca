#!/usr/bin/env bash
# Builds the page anew from its lock file, in a folder of its own, and fails when what is kept in server/page/dist is another one.
set -euo pipefail
cd "$(dirname "$0")/../server/page"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cp -r package.json package-lock.json .npmrc tsconfig.json ./*.config.ts index.html src tests "$work"
(cd "$work" && npm ci --loglevel=error >/dev/null && npm run --silent build >/dev/null)

# Other releases of Node pack otherwise; what they pack is the same.
unpacked() {
    # shellcheck disable=SC2016 # The backticks are JavaScript's.
    node -e '
        const { readFileSync, readdirSync } = require("node:fs");
        const { brotliDecompressSync, gunzipSync } = require("node:zlib");
        const { createHash } = require("node:crypto");
        const open = { br: brotliDecompressSync, gz: gunzipSync };
        for (const name of readdirSync(process.argv[1], { recursive: true, withFileTypes: true })) {
            if (!name.isFile()) continue;
            const path = `${name.parentPath ?? name.path}/${name.name}`;
            const bytes = (open[path.split(".").pop()] ?? ((same) => same))(readFileSync(path));
            const hash = createHash("sha256").update(bytes).digest("hex");
            console.log(hash, path.slice(process.argv[1].length));
        }' "$1" | sort
}

if ! diff <(unpacked dist) <(unpacked "$work/dist"); then
    echo "check_page: server/page/dist is not what its sources give; run make page and commit it" >&2
    exit 1
fi
echo "check_page: server/page/dist is what its sources give"
