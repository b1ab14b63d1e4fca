#!/usr/bin/env bash
# What a GPU makes of the 7B model and of CLIP-sized encoders, in ten minutes at most: tokens a second beside what reading the weights alone
# allows, windows a second for 1 to 64 at a time, and streams by the protocol of other programs (chunks of 10 s, 100 tokens each). Weights are
# random: speed does not depend on them.
#
#     scripts/bench_gpu.sh [GB/S]        # what the GPU's memory is read at, 4800 for an H200
#
# Needs an NVIDIA driver and CUDA's compiler (nvcc). Before anything is timed, the tests of the engine run on the GPU.
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
    echo "bench_gpu: $*" >&2
    exit 1
}

command -v nvidia-smi >/dev/null || die "there is no NVIDIA driver (nvidia-smi)"
nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader || die "the driver finds no GPU"
command -v "${NVCC:-nvcc}" >/dev/null || die "CUDA's compiler, nvcc, is not on the PATH"

scripts/setup.sh
cargo test --release --locked -p avicuna-models --features cuda --test gpu
cargo run --release --locked -p avicuna-models --features cuda --example full_size -- 32 cuda "${1:-4800}"
