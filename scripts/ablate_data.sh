#!/usr/bin/env bash
# The paper's ablations of its data: the small model trained with pseudo-untrimmed videos, with trimmed clips alone, and with groups
# of any clips, by the same steps, and measured on the same test videos. Two hours on two cores; run again, it goes on.
#
#   make model && scripts/ablate_data.sh DIR [pseudo-untrimmed] [trimmed] [random]
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:?give a folder for what is made, such as /tmp/ablation}
arms=("${@:2}")
[ ${#arms[@]} -gt 0 ] || arms=(pseudo-untrimmed trimmed random)
avicuna=${AVICUNA:-target/release/avicuna}
[ -x "$avicuna" ] || { echo "$avicuna is not there; build it with \`make build\`" >&2; exit 1; }

# Of as many videos each, so that every arm takes as many steps.
settings() {
    case $1 in
        pseudo-untrimmed) ;;
        trimmed) echo --clips 1..1 --gaps 0 --repeats 0 --groups 300 --variants 1 ;;
        random) echo --method random ;;
        *) echo "there is no arm $1; there are pseudo-untrimmed, trimmed and random" >&2; return 1 ;;
    esac
}

build() { "$avicuna" dataset build --preset packaged "$@"; }

# Trains a stage on the corpus of an arm, unless it has been.
train() {
    local arm=$out/$1 stage=$2
    [ -d "$arm/stage$stage/model" ] ||
        "$avicuna" train --stage "$stage" --config config/train/ablation.toml --data "$arm/data" --out "$arm" --resume
}

for arm in "${arms[@]}"; do settings "$arm" >/dev/null; done
mkdir -p "$out"
first=$out/pseudo-untrimmed
build --split train --seed 1 --out "$first/data"
"$avicuna" dataset features "$first/data"
build --split test --clips-per-label 1 --groups 5 --variants 2 --seed 31 --out "$out/test"
# The adapters of all arms start from the same two stages.
for stage in 1 2; do train pseudo-untrimmed "$stage"; done

for arm in "${arms[@]}"; do
    if [ "$arm" != pseudo-untrimmed ]; then
        mkdir -p "$out/$arm/data"
        # The clips of one seed are the same, and so are their features.
        cp -aln "$first/data/"{clips,features} "$out/$arm/data/"
        cp -n "$first/data/catalogue.jsonl" "$out/$arm/data/"
        # shellcheck disable=SC2046 # several words
        build --split train --seed 1 $(settings "$arm") --out "$out/$arm/data"
        cp -rn "$first/"stage[12] "$out/$arm/"
    fi
    train "$arm" 3
    # The least score in the manifest is that of another model.
    "$avicuna" eval --data "$out/test" --model "$out/$arm/stage3/model" --min-query-score 0 --json "$out/$arm/figures.json"
done
