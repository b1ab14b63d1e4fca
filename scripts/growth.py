#!/usr/bin/env python3
"""How what the daemon costs grows: with streams, hops, windows, questions, waiting messages and kept events; and how long a start takes.

    make build && scripts/setup.sh test
    scripts/growth.py [--only NAME ...] [--quick] [--film FILE] [--json FILE]

Prints a table for each of:

    streams     1 to 64 made streams with a model of random weights, which answers at once: what the daemon itself costs
    hop         one stream of the film, answered every 10, 5, 2 and 1 s: how long after a window's end, and what that costs
    window      one stream of the film with windows of 10 to 80 s, every half of one
    questions   one stream of the film with 0 to 30 queries beside what happens
    outbox      messages that wait: storing them, opening the file again, delivering them to a real broker
    history     events that are kept: opening the file again, and calls of the interface
    start       from the command to the first answered window, with the files in memory and without

The film is played at its own speed; `--quick` measures less of all, to see that it works. Run it on a machine that does nothing else.
"""

import argparse
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from tiny_model import tiny_model

ROOT = Path(__file__).resolve().parent.parent
NATURAL = ROOT / "assets/models/avicuna-natural"
DAY = 86_400_000

Rows = list[dict[str, object]]


def streams(args: argparse.Namespace, source: str, numbers: list[int], model: Path, *more: str) -> Rows:
    """Trials of `avicuna bench streams`."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [args.program, "bench", "streams", source, "--model", model, "--measure", "5" if args.quick else "40"]
        tried = ",".join(str(number) for number in numbers)
        subprocess.run([*command, "--streams", tried, "--json", file.name, *more], check=True, stdout=subprocess.DEVNULL)
        told = json.loads(Path(file.name).read_text())
    rows = []
    for trial in told[0]["trials"]:
        half, most, last = trial["delays"]
        row = {"streams": trial["streams"], "p50 s": half, "p95 s": most, "p99 s": last, "answered": trial["answered"], "shed": trial["shed"]}
        row |= {"cores": trial["cores"], "of them sources": trial["source_cores"], "encoders": trial["encoding"], "LLM": trial["answering"]}
        rows.append(row | {"daemon MiB": trial["mebibytes"], "sources MiB": trial["source_mebibytes"]})
    return rows


def by_streams(args: argparse.Namespace) -> Rows:
    made = "test://?width=320&height=240&fps=10&rate=16000&wave=ticks"
    with tempfile.TemporaryDirectory(prefix="avicuna-growth-") as name:
        model = tiny_model(Path(name))
        return streams(args, made, [1, 4] if args.quick else [1, 4, 16, 64], model, "--window", "20", "--hop", "10")


def by_hop(args: argparse.Namespace) -> Rows:
    hops = [10, 2] if args.quick else [10, 5, 2, 1]
    return [{"hop s": hop} | streams(args, str(args.film), [1], args.model, "--hop", str(hop))[0] for hop in hops]


def by_window(args: argparse.Namespace) -> Rows:
    rows = []
    for window in [10, 20] if args.quick else [10, 20, 40, 80]:
        trial = streams(args, str(args.film), [1], args.model, "--window", str(window), "--hop", str(window / 2), "--late", "30")
        rows.append({"window s": window} | trial[0])
    return rows


def by_questions(args: argparse.Namespace) -> Rows:
    asked = ["a dog barks", "a person speaks", "a car", "somebody laughs", "a siren", "music", "a bird sings", "a door", "water", "a train"]
    rows = []
    for number in [1, 3] if args.quick else [1, 3, 10, 30]:
        queries = [f"{asked[index % 10]}{' outside' * (index // 10)}" for index in range(number)]
        trial = streams(args, str(args.film), [1], args.model, *[f"--query={query}" for query in queries])
        rows.append({"queries": number} | trial[0])
    return rows


def by_outbox(args: argparse.Namespace) -> Rows:
    sizes = [1_000, 10_000] if args.quick else [1_000, 10_000, 100_000, 1_000_000, 10_000_000]
    command = ["cargo", "bench", "--workspace", "--locked", "--bench", "outbox_growth", "--", *map(str, sizes)]
    told = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [json.loads(line) for line in told.splitlines() if line.startswith("{")]


class Daemon:
    """One that is ended with the block."""

    def __init__(self, args: argparse.Namespace, folder: Path, more: str) -> None:
        self.listen = f"127.0.0.1:{args.port}"
        file = folder / "avicuna.toml"
        file.write_text(
            f'model.path = "{args.model}"\noutbox.path = "{folder}/outbox.redb"\nhistory.path = "{folder}/history.sqlite"\n'
            f'control.listen = "{self.listen}"\nsink.kind = "jsonl"\nsink.jsonl.path = "{folder}/out.jsonl"\nlog.level = "warn"\n{more}'
        )
        self.started = time.monotonic()
        self.process = subprocess.Popen([args.program, "run", "--config", file])

    def get(self, path: str) -> str | None:
        try:
            return self.answer(path).decode()
        except urllib.error.HTTPError as error:
            return error.read().decode()
        except OSError:
            if self.process.poll() is not None:
                sys.exit(f"the daemon ended with {self.process.returncode}")
            return None

    def answer(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://{self.listen}{path}", timeout=60) as reply:
            return reply.read()

    def until(self, path: str, found: str) -> float:
        """Seconds since the start until an answer has `found`."""
        while not re.search(found, self.get(path) or "", re.M):
            time.sleep(0.02)
        return time.monotonic() - self.started

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def by_history(args: argparse.Namespace) -> Rows:
    """Events are those of a real run of the demo's scene, shifted over thirty days."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="avicuna-growth-") as name:
        folder = Path(name)
        scene = f'daemon.exit_when_done = false\n[[stream]]\nid = "scene"\nuri = "{ROOT}/assets/demo/scene.mp4"\n'
        with Daemon(args, folder, scene) as daemon:
            daemon.until("/v1/events?limit=20", r'"phase": ?"ended"')
            daemon.until("/v1/streams/scene", r'"state": ?"ended"')
        for number in [1_000, 10_000] if args.quick else [1_000, 10_000, 100_000, 1_000_000]:
            size = grow(folder / "history.sqlite", number)
            with Daemon(args, folder, "daemon.exit_when_done = false\nhistory.max_bytes = 100000000000\n") as daemon:
                row = {"events": number, "file MiB": size >> 20, "opened s": daemon.until("/healthz", '"healthy": ?true')}
                month = "from=2026-11-01T00:00:00Z&to=2026-12-01T00:00:00Z"
                for what, path in (
                    ("newest 100 ms", "/v1/events?limit=100"),
                    ("of a label ms", "/v1/events?limit=100&label=a%20violin"),
                    ("of one that never was ms", "/v1/events?limit=100&label=a%20unicorn"),
                    ("a month counted ms", f"/v1/events/counts?{month}&bucket=8640"),
                ):
                    row[what] = fastest(lambda path=path: daemon.answer(path)) * 1e3
                rows.append(row)
    return rows


def fastest(call: Callable[[], object], rounds: int = 5) -> float:
    took = []
    for _ in range(rounds):
        started = time.monotonic()
        call()
        took.append(time.monotonic() - started)
    return min(took)


def grow(path: Path, number: int) -> int:
    """Fills the history up to `number` events, and says the file's bytes."""
    with sqlite3.connect(path) as file:
        rows = file.execute("SELECT * FROM events WHERE event_id NOT LIKE 'made-%'").fetchall()
        names = [name for _, name, *_ in file.execute("PRAGMA table_info(events)")]
        have = file.execute("SELECT count(*) FROM events").fetchone()[0]
        now = int(time.time() * 1000)

        def made(index: int) -> list[object]:
            event = dict(zip(names, rows[index % len(rows)]))
            start = now - (index * 7919 * 1000) % (30 * DAY)
            event |= {"event_id": f"made-{index}", "end_ms": start + event["end_ms"] - event["start_ms"], "start_ms": start, "kept_ms": now}
            return [event[name] for name in names]

        places = ",".join("?" * len(names))
        file.executemany(f"INSERT INTO events VALUES ({places})", (made(index) for index in range(have, number)))
    file.close()
    return path.stat().st_size


def by_start(args: argparse.Namespace) -> Rows:
    rows = []
    for kept in ("in memory", "on the disk") if drop_caches() else ("in memory",):
        took = []
        for _ in range(1 if args.quick else 3):
            if kept == "on the disk":
                drop_caches()
            with tempfile.TemporaryDirectory(prefix="avicuna-growth-") as name:
                film = f'[[stream]]\nid = "film"\nuri = "{args.film}"\n'
                with Daemon(args, Path(name), f"daemon.exit_when_done = false\n{film}") as daemon:
                    ready = daemon.until("/readyz", '"ready": ?true')
                    took.append((ready, daemon.until("/metrics", r'^avicuna_windows_total\{[^}]*outcome="answered"[^}]*\} [1-9]')))
        ready, answered = sorted(took)[len(took) // 2]
        rows.append({"the files are": kept, "ready s": ready, "first window answered s": answered})
    check = [args.program, "config", "check", ROOT / "config/avicuna.toml"]
    rows.append({"the files are": "config check", "ready s": fastest(lambda: subprocess.run(check, check=True, stdout=subprocess.DEVNULL))})
    return rows


def drop_caches() -> bool:
    try:
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return False
    return True


def table(rows: Rows) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, ["---"] * len(names)]
    lines += [[written(row.get(name, "")) for name in names] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def written(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) and value < 1000 else f"{value:,}" if isinstance(value, int | float) else str(value)


CURVES = {
    "streams": by_streams,
    "hop": by_hop,
    "window": by_window,
    "questions": by_questions,
    "outbox": by_outbox,
    "history": by_history,
    "start": by_start,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=CURVES, default=list(CURVES), metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="few and short measurements")
    parser.add_argument("--film", type=Path, default=ROOT / "assets/demo/scene.mp4")
    parser.add_argument("--model", type=Path, default=NATURAL)
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/avicuna")
    parser.add_argument("--port", type=int, default=19466, help="where its daemons listen")
    parser.add_argument("--json", type=Path, help="write the rows here too")
    args = parser.parse_args()
    args.film = args.film.resolve()
    told = {}
    for name in args.only:
        told[name] = CURVES[name](args)
        print(f"\n{name}\n\n{table(told[name])}", flush=True)
        if args.json:
            args.json.write_text(json.dumps(told, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
