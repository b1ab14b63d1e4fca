#!/usr/bin/env bash
# Holds three kernels to the instructions that they took when scripts/instructions.txt was written: scripts/instructions.sh [--update].
# Instructions are counted by callgrind, as a program's time depends on what else the machine does. More than 5 % more fail; so do
# more than 5 % fewer, until the figures are updated.
set -euo pipefail
cd "$(dirname "$0")/.."

figures=scripts/instructions.txt
tolerance=5

command -v valgrind >/dev/null || {
    echo "instructions: valgrind is missing; run scripts/setup.sh lint" >&2
    exit 1
}
cargo build --workspace --locked --example instructions
program=target/debug/examples/instructions
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

failed=0
measured=()
for kernel in $("$program"); do
    said=$(valgrind --tool=callgrind --callgrind-out-file="$work/$kernel" --toggle-collect='*::counted*' "$program" "$kernel" 2>"$work/log") || {
        cat "$work/log" >&2
        exit 1
    }
    count=$(sed -n 's/^summary: //p' "$work/$kernel")
    measured+=("$said $count")
    expected=$(sed -n "s/^$said //p" "$figures" 2>/dev/null || true)
    [ "${1:-}" != --update ] || expected=$count
    if [ -z "$expected" ]; then
        echo "$said: $count, with which nothing can be compared: $figures has no figure for these instructions" >&2
        failed=1
    elif [ $((count * 100)) -gt $((expected * (100 + tolerance))) ] || [ $((count * 100)) -lt $((expected * (100 - tolerance))) ]; then
        echo "$said: $count instructions, not $expected to within $tolerance %; if that is meant, run scripts/instructions.sh --update" >&2
        failed=1
    else
        echo "$said: $count instructions, $(awk "BEGIN { printf \"%+.2f\", ($count - $expected) * 100 / $expected }") %"
    fi
done
if [ "${1:-}" = --update ]; then
    printf '%s\n' "${measured[@]}" >"$figures"
fi
exit $failed
