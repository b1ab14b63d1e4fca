#!/usr/bin/env bash
# An hour in which nothing happens that the default model has words for, and what it tells of it: eight made films of seven and a half
# minutes, each with a sound of its own.
#
#     scripts/nothing.sh FOLDER [PROGRAM]
#
# Films are made once and stay in FOLDER. Wants ffmpeg, jq and `make model`.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -ge 1 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
folder=$1
program=${2:-target/release/avicuna}
seconds=450

# What is seen and what is heard, each as a source of libavfilter.
films=(
    "zoom|mandelbrot=size=320x240:rate=15:maxiter=400|anoisesrc=color=pink:amplitude=0.1"
    "automaton|cellauto=size=320x240:rate=15:rule=110|anoisesrc=color=brown:amplitude=0.2"
    "life|life=size=320x240:rate=15:mold=10:ratio=0.3:death_color=#222222:life_color=#cccccc|anoisesrc=color=white:amplitude=0.05"
    "gradients|gradients=size=320x240:rate=15:speed=0.02|anoisesrc=color=violet:amplitude=0.1"
    "chart|testsrc2=size=320x240:rate=15|sine=frequency=50"
    "bars|smptehdbars=size=320x240:rate=15|sine=frequency=120"
    "grey|color=gray:size=320x240:rate=15,noise=alls=40:allf=t|anullsrc=sample_rate=16000"
    "dark|color=#101014:size=320x240:rate=15,noise=alls=12:allf=t|anoisesrc=color=brown:amplitude=0.02"
)

mkdir -p "$folder"
total=0
for film in "${films[@]}"; do
    IFS='|' read -r name seen heard <<<"$film"
    file=$folder/$name.mp4
    if [ ! -e "$file" ]; then
        ffmpeg -v error -f lavfi -i "$seen" -f lavfi -i "$heard" -t "$seconds" -c:v libx264 -preset veryfast -pix_fmt yuv420p -c:a aac -ac 1 -ar 16000 \
            -f mp4 "$file.part"
        mv "$file.part" "$file"
    fi
    told=$("$program" localize "$file" --format json)
    count=$(jq '.events | length' <<<"$told")
    labels=$(jq -r '[.events[] | "\(.label) \(.score * 100 | round / 100)"] | join(", ")' <<<"$told")
    echo "$name: $count told${labels:+ ($labels)}"
    total=$((total + count))
done
echo "$total events in $((${#films[@]} * seconds / 60)) minutes"
