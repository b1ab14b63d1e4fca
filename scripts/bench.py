#!/usr/bin/env python3
"""Runs every benchmark that has a peer, and prints one table: ours, the peer's, and how many times as good ours is.

    make bench
    scripts/bench.py [--quick] [--only NAME ...] [--json FILE] [--from FOLDER]

What each benchmark printed is kept in target/bench/NAME.txt; `--from` makes the table of such files again and runs nothing. Peers written in
Python are installed into a virtual environment of the cache, of llama.cpp built there for this processor (some minutes). A row whose
benchmark or peer is not there says why. Exit code 1 where a benchmark of ours failed.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("AVICUNA_CACHE") or Path.home() / ".cache/avicuna")
MODEL = ROOT / "assets/models/avicuna-small"
GGUF = CACHE / "models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
EXAMPLES = ROOT / "target/release/examples"
PYTHON = CACHE / "venv-bench/bin/python"
TORCH = CACHE / "venv-peft/bin/python"
CARGO = ["cargo", "bench", "--workspace", "--locked", "--bench"]


@dataclass
class Row:
    name: str
    ours: float | None
    theirs: float | None
    unit: str
    peer: str
    # Of times the smaller one is better, of rates the larger one.
    ratio: float | None = None
    # Why a number is missing.
    note: str = ""

    def __post_init__(self) -> None:
        if self.ratio is None and self.ours and self.theirs:
            is_rate = self.unit.endswith("/s")
            self.ratio = self.ours / self.theirs if is_rate else self.theirs / self.ours


Reader = Callable[[str], list[Row]]


@dataclass
class Bench:
    name: str
    peer: str
    read: Reader
    command: list[str | Path]
    # The same command with fewer rounds ends so.
    usual: list[str] = field(default_factory=list)
    quick: list[str] = field(default_factory=list)
    # What pip installs for the peer.
    packages: list[str] = field(default_factory=list)


def decoding(text: str) -> list[Row]:
    rounds = re.findall(r"^round \d+: ours (\S+) s CPU, (\S+) s wall; gst-launch (\S+) s CPU, (\S+) s wall", text, re.MULTILINE)
    ours_cpu, ours_wall, cpu, wall = ([float(number) for number in column] for column in zip(*rounds))
    peer = "gst-launch-1.0, the same elements"
    return [
        Row("decode a film, processor time", median(ours_cpu), median(cpu), "s", peer),
        Row("decode a film, time", median(ours_wall), median(wall), "s", peer),
    ]


def delivering(text: str) -> list[Row]:
    ours, theirs = re.search(r"^median: outbox (\d+)/s, producer alone (\d+)/s", text, re.MULTILINE).groups()
    return [Row("events to Kafka, stored first", float(ours), float(theirs), "/s", "librdkafka's producer, nothing stored")]


def windows(text: str) -> list[Row]:
    assembling = float(re.search(r"^assembling: (\S+) us", text, re.MULTILINE)[1])
    queueing = float(re.search(r"^queueing: (\S+) us", text, re.MULTILINE)[1])
    none = "no other program has such windows"
    return [
        Row("windows, a second of stream", assembling, None, "us", none),
        Row("queue, a window", queueing, None, "us", none),
    ]


def answering(text: str) -> list[Row]:
    rows = []
    for windows, questions, ours, theirs, cpu in re.findall(r"^ +(\d+) x (\d+) +(\S+)/s +(\S+)/s +\S+ +(\S+)", text, re.MULTILINE):
        what = f"LLM, {windows} windows x {questions} questions"
        rows.append(Row(what, float(ours), float(theirs), "windows/s", "llama.cpp, the same weights"))
        rows.append(Row(f"{what}, processor time", None, None, "", "llama.cpp, the same weights", ratio=float(cpu)))
    return rows


def encoding(text: str) -> list[Row]:
    version = re.search(r"^onnxruntime (\S+),", text, re.MULTILINE)[1]
    found = re.findall(r"^(vision|audio) +(\d+) +(\S+) +(\S+) +\S+ +\S+$", text, re.MULTILINE)
    peer = f"ONNX Runtime {version} in Python"
    return [Row(f"{kind} encoder, batch {batch}", float(ours), float(theirs), "ms", peer) for kind, batch, ours, theirs in found]


def training(text: str) -> list[Row]:
    def seconds(who: str) -> float:
        return float(re.search(rf"^{who} .*: (\S+) s a step", text, re.MULTILINE)[1])

    return [Row("training step, 8 x 180 rows", seconds("avicuna"), seconds("torch"), "s", "PyTorch, transformers and PEFT")]


BENCHES = [
    Bench("decode", "gst-launch-1.0", decoding, [*CARGO, "decode", "--"], ["10", "7"], ["2", "1"]),
    Bench("outbox", "librdkafka", delivering, [*CARGO, "outbox", "--"], ["100000", "3"], ["20000", "1"]),
    Bench("windows", "none", windows, [*CARGO, "windows", "--"], ["600", "4"], ["60", "1"]),
    Bench(
        "llm", "llama.cpp", answering, [PYTHON, "scripts/bench_llm.py", GGUF, "--ours", EXAMPLES / "llm_bench"],
        ["--rounds", "5"], ["--rounds", "1"], ["llama-cpp-python==0.3.36", "numpy"],
    ),
    Bench(
        "encoders", "ONNX Runtime", encoding, [PYTHON, "scripts/bench_encoders.py", "--model", MODEL, "--binary", EXAMPLES / "encoder_bench"],
        ["--rounds", "9"], ["--rounds", "2"], ["onnxruntime==1.32.0", "numpy"],
    ),
    Bench(
        "train", "PyTorch", training, ["sh", "-c", f'"{EXAMPLES}/bench_train" "$@" && "{TORCH}" scripts/bench_train.py "$@"', "train"],
        ["--steps", "5"], ["--steps", "1"],
    ),
]  # fmt: skip


def install(packages: list[str]) -> str:
    """Installs a peer; what went wrong, or nothing."""
    commands = [] if PYTHON.exists() else [[sys.executable, "-m", "venv", PYTHON.parent.parent]]
    commands += [[PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package] for package in packages]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no reason"])[-1]
            return f"{command[-1]} cannot be installed: {last}"
    return ""


def environment() -> dict[str, str]:
    """Both sides use the same ONNX Runtime: that of the Python package."""
    found = sorted(PYTHON.parent.parent.glob("lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so.*"))
    return os.environ | ({"ORT_DYLIB_PATH": str(found[-1])} if found else {})


def measure(bench: Bench, quick: bool, folder: Path) -> str:
    """Runs one benchmark and keeps what it prints; what went wrong, or nothing."""
    if missing := install(bench.packages) if bench.packages else "":
        return missing
    command = [str(word) for word in [*bench.command, *(bench.quick if quick else bench.usual)]]
    env = environment() if bench.name == "encoders" else None
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        return f"failed: {' '.join(command)} ended with {done.returncode}"
    (folder / f"{bench.name}.txt").write_text(done.stdout)
    return ""


def rows(bench: Bench, wrong: str, folder: Path) -> list[Row]:
    path = folder / f"{bench.name}.txt"
    if not wrong and not path.exists():
        wrong = f"not measured: {path} is not there"
    if wrong:
        return [Row(bench.name, None, None, "", bench.peer, note=wrong)]
    try:
        found = bench.read(path.read_text())
    except (AttributeError, TypeError, ValueError) as error:
        return [Row(bench.name, None, None, "", bench.peer, note=f"failed: {path} cannot be read: {error}")]
    return found or [Row(bench.name, None, None, "", bench.peer, note=f"failed: {path} has no result")]


def number(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    digits = 0 if value >= 1000 else 1 if value >= 100 else 2
    return f"{value:.{digits}f}{'' if unit.startswith('/') else ' '}{unit}"


def table(found: list[Row]) -> str:
    lines = [("name", "ours", "peer", "ratio", "what the peer is")]
    for row in found:
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
        peer = f"{row.peer}: {row.note}" if row.note else row.peer
        lines.append((row.name, number(row.ours, row.unit), number(row.theirs, row.unit), ratio, peer))
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    return "\n".join(
        f"{name:{widths[0]}}  {ours:>{widths[1]}}  {theirs:>{widths[2]}}  {ratio:>{widths[3]}}  {peer}" for name, ours, theirs, ratio, peer in lines
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds: that all run, not how fast they are")
    parser.add_argument("--only", nargs="+", choices=[bench.name for bench in BENCHES], metavar="NAME", help="some of: %(choices)s")
    parser.add_argument("--json", type=Path, help="write the rows here too")
    parser.add_argument("--from", dest="folder", type=Path, help="run nothing; read what was printed before from this folder")
    args = parser.parse_args()
    chosen = [bench for bench in BENCHES if not args.only or bench.name in args.only]
    folder = args.folder or ROOT / "target/bench"
    wrong = dict.fromkeys((bench.name for bench in chosen), "")
    if not args.folder:
        folder.mkdir(parents=True, exist_ok=True)
        for bench in chosen:
            print(f"bench: {bench.name}", file=sys.stderr, flush=True)
            (folder / f"{bench.name}.txt").unlink(missing_ok=True)
            wrong[bench.name] = measure(bench, args.quick, folder)
    found = [row for bench in chosen for row in rows(bench, wrong[bench.name], folder)]
    print(table(found))
    print("\nA ratio above 1 says that ours is better.")
    if args.json:
        args.json.write_text(json.dumps([asdict(row) for row in found], indent=1) + "\n")
    if any(row.note.startswith("failed") for row in found):
        sys.exit(1)


if __name__ == "__main__":
    main()
