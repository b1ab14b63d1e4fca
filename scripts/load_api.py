#!/usr/bin/env python3
"""Puts a running daemon's interface under load, and says whether its streams noticed.

Starts the program twice on the same live test streams: once left alone, once with 1,000 listeners of whom half never
read, and 10,000 calls. Prints the times of calls, how late listeners hear, and what became of the windows of both runs.

    scripts/load_api.py --program target/release/avicuna --seconds 60
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

PORT = 19464


def configuration(folder: Path, streams: int, model: str) -> str:
    lines = [
        f'model.path = "{model}"',
        f'outbox.path = "{folder}/outbox.redb"',
        f'control.listen = "127.0.0.1:{PORT}"',
        "control.max_clients = 4096",
        'sink.kind = "jsonl"',
        f'sink.jsonl.path = "{folder}/out.jsonl"',
    ]
    for number in range(streams):
        lines += [
            "[[stream]]",
            f'id = "cam{number}"',
            'uri = "test://?width=320&height=240&fps=10&wave=ticks"',
            "live = true",
        ]
    return "\n".join(lines) + "\n"


async def request(path: str) -> float:
    """Seconds that one call took."""
    started = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    await writer.drain()
    head = await reader.readline()
    await reader.read()
    writer.close()
    if b" 200 " not in head:
        raise SystemExit(f"{path}: {head!r}")
    return time.monotonic() - started


async def listen(reads: bool, delays: list[float], until: float) -> None:
    """Hears events; how late after the window's end on the wall clock goes to `delays`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    writer.write(b"GET /v1/events/stream?after=0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    await writer.drain()
    if not reads:
        await asyncio.sleep(max(0.0, until - time.monotonic()))
        writer.close()
        return
    while time.monotonic() < until:
        try:
            line = await asyncio.wait_for(reader.readline(), timeout=max(0.01, until - time.monotonic()))
        except TimeoutError:
            break
        if line.startswith(b"event: "):
            delays.append(time.monotonic())
    writer.close()


async def press(seconds: float, calls: int, listeners: int) -> dict[str, float]:
    until = time.monotonic() + seconds
    delays: list[float] = []
    ears = [asyncio.create_task(listen(n % 2 == 0, delays, until)) for n in range(listeners)]
    paths = ["/v1/streams", "/v1/events?limit=20", "/v1/coverage?limit=50", "/v1/windows?limit=5", "/healthz"]
    took: list[float] = []
    pause = seconds * 0.8 / calls
    slots = asyncio.Semaphore(32)

    async def call(number: int) -> None:
        async with slots:
            took.append(await request(paths[number % len(paths)]))

    tasks = []
    for number in range(calls):
        tasks.append(asyncio.create_task(call(number)))
        await asyncio.sleep(pause)
    await asyncio.gather(*tasks)
    await asyncio.gather(*ears)
    took.sort()
    return {
        "calls": len(took),
        "p50_ms": 1e3 * statistics.median(took),
        "p99_ms": 1e3 * took[int(len(took) * 0.99)],
        "worst_ms": 1e3 * took[-1],
        "heard": len(delays),
    }


def run(arguments: argparse.Namespace, loaded: bool) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "avicuna.toml"
        config.write_text(configuration(folder, arguments.streams, arguments.model))
        with (folder / "log").open("w") as log:
            daemon = subprocess.Popen([arguments.program, "run", "--config", str(config)], stderr=log)
        try:
            for _ in range(600):
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/readyz") as answer:
                        if answer.status == 200:
                            break
                except OSError:
                    time.sleep(0.1)
            figures: dict[str, object] = {}
            if loaded:
                figures |= asyncio.run(press(arguments.seconds, arguments.calls, arguments.listeners))
            else:
                time.sleep(arguments.seconds)
            metrics = urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics").read().decode()
        finally:
            daemon.terminate()
            daemon.wait()
        for outcome in ("answered", "shed", "failed"):
            counts = [line for line in metrics.splitlines() if f'outcome="{outcome}"' in line]
            figures[outcome] = sum(float(line.rsplit(" ", 1)[1]) for line in counts)
        lags = [line for line in metrics.splitlines() if line.startswith("avicuna_stream_lag_seconds{")]
        figures["worst_lag_s"] = max((float(line.rsplit(" ", 1)[1]) for line in lags), default=0.0)
        spans = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
        coverage = [line["data"] for line in spans if line["topic"] == "coverage"]
        figures["watched_s"] = sum(s["end"]["stream"] - s["start"]["stream"] for s in coverage if s["watched"])
        return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/release/avicuna")
    parser.add_argument("--model", default="assets/models/avicuna-small")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--listeners", type=int, default=1000)
    arguments = parser.parse_args()
    for loaded in (False, True):
        figures = run(arguments, loaded)
        shown = ", ".join(f"{key} {value:.1f}" for key, value in figures.items() if isinstance(value, (int, float)))
        print(f"{'under load' if loaded else 'left alone'}: {shown}")


if __name__ == "__main__":
    main()
