#!/usr/bin/env bash
# Checks the types of the feature `cuda` on a machine without CUDA. An `nvcc` that compiles nothing stands in where there is none: it
# says a version and leaves empty files, which is enough for the compiler to look at all of Rust. It is a check of types only; that
# the kernels compile and give the right numbers is for a machine with a GPU.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v nvcc >/dev/null; then
    stand_in=$PWD/target/cuda-types/bin
    mkdir -p "$stand_in"
    cat >"$stand_in/nvcc" <<'NVCC'
#!/usr/bin/env bash
# Compiles nothing: see scripts/check_cuda.sh.
[ "${1:-}" != --version ] || echo "Cuda compilation tools, release 12.6, V12.6.20"
while [ $# -gt 0 ]; do
    case $1 in
        -o) touch "$2" ;;
        --output-directory) folder=$2 ;;
        *.cu) [ -z "${folder:-}" ] || touch "$folder/$(basename "$1" .cu).ptx" ;;
    esac
    shift
done
NVCC
    chmod +x "$stand_in/nvcc"
    echo "check_cuda: there is no nvcc; types are checked with one that compiles nothing"
    PATH=$stand_in:$PATH
fi
# The kernels' architecture is not asked of a GPU.
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-80}
cargo check --locked --no-default-features --features cuda --bin avicuna --target-dir target/cuda-types
