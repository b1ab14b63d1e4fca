#!/usr/bin/env bash
# Fuzzes the readers of what comes from outside, two at a time: scripts/fuzz.sh SECONDS [TARGET...], all of fuzz/fuzz_targets where none is
# named. libFuzzer looks at which lines of our crates an input reaches; the pinned compiler can do that, and what our crates depend on is
# taken as the other builds left it. What was found goes to target/fuzz/TARGET-..., what reached new lines stays in target/fuzz/corpus.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?how many seconds for each target}
shift
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for source in fuzz/fuzz_targets/*.rs; do
        targets+=("$(basename "$source" .rs)")
    done
fi
binaries=()
for target in "${targets[@]}"; do
    [ -f "fuzz/fuzz_targets/$target.rs" ] || {
        echo "fuzz: \"$target\" is no target; fuzz/fuzz_targets has them" >&2
        exit 1
    }
    binaries+=(--bin "fuzz_$target")
done

# With a test among the targets dependencies have the features that tests have compiled them with, and need not be compiled once more.
RUSTC_WORKSPACE_WRAPPER=$PWD/scripts/covered.sh cargo build --workspace --locked --features avicuna-fuzz/covered --test layout "${binaries[@]}"

fuzz() {
    local target=$1 work=target/fuzz status=0
    mkdir -p "$work/corpus/$target" "$work/tmp"
    TMPDIR=$PWD/$work/tmp "target/debug/fuzz_$target" "$work/corpus/$target" "fuzz/corpus/$target" -dict="fuzz/dictionaries/$target" \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -artifact_prefix="$work/$target-" -print_final_stats=1 \
        -reload=0 -verbosity=1 >"$work/$target.log" 2>&1 || status=$?
    local runs lines
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$target.log")
    lines=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$work/$target.log" | tail -1)
    echo "$target: ${runs:-0} inputs, ${lines:-0} edges reached"
    [ $status -eq 0 ] || {
        tail -40 "$work/$target.log"
        echo "$target fails; put its input into fuzz/corpus/$target when it is mended"
        return 1
    }
}
export -f fuzz
export seconds
printf '%s\n' "${targets[@]}" | xargs -P 2 -I {} bash -c 'set -euo pipefail; fuzz {}'
