"""The encoders beside ONNX Runtime's Python package: the same ONNX files, threads and batches, in turns.

    python scripts/bench_encoders.py [--model assets/models/avicuna-small] [--threads 2] [--rounds 9]

The model's call is timed alone, from ready tensors to embeddings, on both sides; a ratio above 1 says that ours takes longer. Beside it
stands what our preprocessing (pixels to tensors, samples to log-mels) adds. Each number is the best of the rounds, so that a busy
machine disturbs it little; between two calls both sides rest, because the other's idle threads spin for a while. Set
ORT_DYLIB_PATH to the package's own libonnxruntime.so to compare the same version. Needs numpy and onnxruntime.
"""

import argparse
import os
import subprocess
import time
import tomllib
from pathlib import Path

import numpy as np
import onnxruntime

CACHE = Path(os.environ.get("AVICUNA_CACHE") or Path.home() / ".cache/avicuna")
REST = 0.2
RUST = ["cargo", "run", "--release", "--quiet", "-p", "avicuna-models", "--example", "encoder_bench", "--"]


def locate(model: Path, name: str) -> Path:
    """Where the daemon would find a part."""
    return next(path for path in (model / name, CACHE / "models" / name, CACHE / name) if path.exists())


def session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("assets/models/avicuna-small"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--binary", help="a built encoder_bench; without it cargo builds and runs one")
    args = parser.parse_args()

    manifest = tomllib.loads((args.model / "model.toml").read_text())
    vision, audio = manifest["vision"], manifest["audio"]
    frames = round(audio["sample_rate"] * audio["clip_seconds"]) // 480 + 1
    shapes = {"vision": (3, vision["input_size"], vision["input_size"]), "audio": (frames, 64)}
    theirs = {name: session(locate(args.model, manifest[name]["file"]["file"]), args.threads) for name in shapes}

    command = [args.binary] if args.binary else RUST
    ours = subprocess.Popen(
        [*command, str(args.model), str(args.threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert ours.stdout.readline().strip() == "ready", "encoder_bench did not start"

    def run_ours(name: str, batch: int) -> tuple[float, float]:
        time.sleep(REST)
        print(name, batch, file=ours.stdin, flush=True)
        prepare, call = map(float, ours.stdout.readline().split())
        return prepare, call

    def run_theirs(name: str, batch: int, tensor: np.ndarray) -> float:
        time.sleep(REST)
        start = time.perf_counter()
        theirs[name].run(None, {theirs[name].get_inputs()[0].name: tensor})
        return (time.perf_counter() - start) * 1e3

    print(f"onnxruntime {onnxruntime.__version__}, {args.threads} threads, best of {args.rounds} rounds\n")
    print(f"{'encoder':8} {'batch':>5} {'ours ms':>9} {'python ms':>10} {'ratio':>6} {'+ preprocessing ms':>19}")
    for name, shape in shapes.items():
        for batch in (1, 4, 8, 16):
            tensor = np.random.default_rng(0).standard_normal((batch, *shape)).astype(np.float32)
            run_ours(name, batch), run_theirs(name, batch, tensor)
            times = [(*run_ours(name, batch), run_theirs(name, batch, tensor)) for _ in range(args.rounds)]
            before, mine, other = (min(column) for column in zip(*times))
            print(f"{name:8} {batch:5} {mine:9.2f} {other:10.2f} {mine / other:6.2f} {before:19.2f}")
    ours.stdin.close()
    ours.wait()


if __name__ == "__main__":
    main()
