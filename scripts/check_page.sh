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

# What docs/page.md says that it weighs. A file that is not packed is fetched as it is.
kilobytes() {
    local file bytes=0
    while read -r file; do
        for form in "$file$1" "$file"; do
            [ ! -f "$form" ] || break
        done
        bytes=$((bytes + $(stat -c %s "$form")))
    done < <(find dist -type f ! -name '*.br' ! -name '*.gz')
    echo $(((bytes + 500) / 1000))
}
weighs="$(kilobytes "") KB, as gzip $(kilobytes .gz) KB, as Brotli $(kilobytes .br) KB"
if ! grep -qF "| $weighs |" ../../docs/page.md; then
    echo "check_page: docs/page.md says otherwise of what a browser fetches: $weighs" >&2
    exit 1
fi
echo "check_page: server/page/dist is what its sources give"
