#!/usr/bin/env bash
# A compiler for RUSTC_WORKSPACE_WRAPPER that lets the libraries which are fuzzed say what they reach: scripts/fuzz.sh.
set -euo pipefail
covered=()
case " $* " in
    *" --crate-name avicuna_models "* | *" --crate-name avicuna_pipeline "*)
        covered=(
            -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
            -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
        )
        ;;
esac
exec "$@" "${covered[@]}"
