#!/usr/bin/env bash
# Checks the types of what the feature `cuda` compiles, where there is neither a GPU nor its compiler. What stands in for nvcc compiles no
# kernel: each is an empty file, which is enough for the types of all that calls them. Kernels are compiled, and run, where there is a GPU.
set -euo pipefail
cd "$(dirname "$0")/.."

stand_in=$(mktemp -d)
# An empty kernel must not be taken for a compiled one by a later build.
trap 'rm -rf "$stand_in"; cargo clean --quiet -p candle-kernels' EXIT
mkdir "$stand_in/bin" "$stand_in/include"
cat >"$stand_in/bin/nvcc" <<'END'
#!/usr/bin/env bash
set -euo pipefail
folder=.
kind=object
source=
while [ $# -gt 0 ]; do
    case $1 in
        --version) echo "stand-in, release 12.9, V12.9.0" && exit ;;
        --list-gpu-code) echo sm_80 && exit ;;
        --ptx) kind=ptx ;;
        --output-directory) folder=$2 && shift ;;
        -o) : >"$2" && shift ;;
        *.cu) source=$1 ;;
    esac
    shift
done
[ $kind = object ] || : >"$folder/$(basename "$source" .cu).ptx"
END
chmod +x "$stand_in/bin/nvcc"
# cudarc has the declarations of every version of CUDA with it.
export NVCC=$stand_in/bin/nvcc CUDA_COMPUTE_CAP=80 CUDARC_CUDA_VERSION=12090
cargo check --workspace --locked --features cuda --lib --bins --test gpu
