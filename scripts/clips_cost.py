#!/usr/bin/env python3
"""What clips cost: four streams watched with and without them in turns, or a day of four streams in fast motion.

    scripts/clips_cost.py cost --rounds 3 --seconds 60
    scripts/clips_cost.py day --hours 96 --window 120

`cost` plays `--film` at its own speed on four streams, each in a process of its own, and prints the CPU seconds and the memory (PSS) of daemon and
sources. `day` loops a small film on four streams as fast as the model takes it, until all together have watched so many hours, and prints how much
was kept, and how the memory of daemon and sources grew (least squares, the first fifth left out). Longer windows have no more frames: with them a
day passes faster.
"""

import argparse
import json
import re
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from soak import children, read, slope

ROOT = Path(__file__).resolve().parent.parent


def look(pids: list[int]) -> tuple[float, float]:
    """CPU seconds and proportional MiB of some processes."""
    cpu, pss = 0.0, 0.0
    for pid in pids:
        found = read(pid)
        cpu, pss = cpu + found["cpu_s"], pss + found["pss_mib"]
    return cpu, pss


class Daemon:
    def __init__(self, args: argparse.Namespace, folder: Path, clips: bool, stream: str):
        streams = "".join(f'[[stream]]\nid = "stream-{i}"\nisolation = "process"\n{stream}' for i in range(4))
        kept = f'[clips]\nstore = "{folder}/clips"\nmax_bytes = {args.max_bytes}\n{args.more}\n' if clips else ""
        (folder / "a.toml").write_text(
            f'[model]\npath = "{args.model}"\n[sink]\nkind = "jsonl"\n[sink.jsonl]\npath = "/dev/null"\n'
            f'[outbox]\npath = "{folder}/outbox.redb"\n[control]\nlisten = "127.0.0.1:{args.control}"\n'
            f'[history]\nmax_bytes = 50000000\n[log]\nlevel = "warn"\n{kept}{streams}'
        )
        self.control, self.log = args.control, open(folder / "log", "w")
        self.process = subprocess.Popen([args.program, "run", "--config", folder / "a.toml"], stderr=self.log, stdout=self.log)
        while len(self.sources()) < 4 or "avicuna_stream_up" not in self.metrics():
            time.sleep(0.2)

    def sources(self) -> list[int]:
        return children(self.process.pid)

    def metrics(self) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.control}/metrics", timeout=10) as reply:
                return reply.read().decode()
        except OSError:
            return ""

    def count(self, pattern: str) -> float:
        return sum(float(number) for number in re.findall(rf"^{pattern} ([0-9.e+]+)$", self.metrics(), re.M))

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def cost(args: argparse.Namespace) -> None:
    film = f'uri = "{args.film}"\nrealtime = true\nloop = true\nhop = "20s"\n'
    for number in range(args.rounds):
        for clips in (False, True) if number % 2 == 0 else (True, False):
            with tempfile.TemporaryDirectory(prefix="avicuna-clips-") as name:
                daemon = Daemon(args, Path(name), clips, film)
                time.sleep(args.settle)
                before = [look([daemon.process.pid])[0], look(daemon.sources())[0]]
                time.sleep(args.seconds)
                (own, own_mib), (sources, sources_mib) = look([daemon.process.pid]), look(daemon.sources())
                told = {
                    "clips": "on" if clips else "off",
                    "daemon_cpu_s": round(own - before[0], 2),
                    "sources_cpu_s": round(sources - before[1], 2),
                    "daemon_mib": round(own_mib, 1),
                    "sources_mib": round(sources_mib, 1),
                    "kept": daemon.count(r'avicuna_event_clips_total\{[^}]*outcome="kept"\}'),
                    "dropped": daemon.count(r'avicuna_event_clips_total\{[^}]*outcome="dropped"\}'),
                }
                print(json.dumps(told), flush=True)
                daemon.stop()


def day(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="avicuna-clips-") as name:
        small = Path(name) / "small.mp4"
        shrink = ["-vf", "scale=160:90,fps=5", "-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-c:a", "aac", "-ar", "16000", "-ac", "1"]
        subprocess.run(["ffmpeg", "-v", "error", "-stream_loop", "9", "-i", args.film, *shrink, small], check=True)
        daemon = Daemon(args, Path(name), True, f'uri = "{small}"\nloop = true\nhop = "{args.window}s"\nwindow = "{args.window}s"\nmin_score = 0.0\n')
        began, samples, hours = time.monotonic(), [], 0.0
        while hours < args.hours:
            hours = daemon.count(r"avicuna_windows_total\{[^}]*outcome=\"answered\"\}") * args.window / 3600
            samples.append((time.monotonic() - began, look([daemon.process.pid])[1], look(daemon.sources())[1], hours))
            print("{:6.0f} s  daemon {:7.1f} MiB  sources {:7.1f} MiB  {:7.2f} h of streams".format(*samples[-1]), flush=True)
            time.sleep(10)
        settled = [sample for sample in samples if sample[3] > args.hours / 5]
        hours = settled[-1][3] - settled[0][3]
        for index, what in ((1, "daemon"), (2, "sources")):
            grows = slope([(s[0], s[index]) for s in settled]) / 3600 * (settled[-1][0] - settled[0][0])
            seen = [sample[index] for sample in settled]
            print(f"{what}: {grows:+.1f} MiB over {hours:.1f} h of streams, {min(seen):.1f} to {max(seen):.1f}")
        for outcome in ("kept", "dropped"):
            print(outcome, daemon.count(rf'avicuna_event_clips_total\{{[^}}]*outcome="{outcome}"\}}'))
        print("bytes kept", daemon.count("avicuna_event_clips_kept_bytes"))
        daemon.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["cost", "day"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--settle", type=float, default=20, help="seconds before the CPU is measured")
    parser.add_argument("--hours", type=float, default=4, help="of all streams together")
    parser.add_argument("--window", type=int, default=20, help="seconds of a window, and of its hop")
    parser.add_argument("--film", type=Path, default=ROOT / "assets/demo/scene.mp4")
    parser.add_argument("--model", type=Path, default=ROOT / "assets/models/avicuna-small")
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/avicuna")
    parser.add_argument("--control", type=int, default=19465)
    parser.add_argument("--max-bytes", type=int, default=1 << 30)
    parser.add_argument("--more", default="", help="more keys of [clips]")
    args = parser.parse_args()
    {"cost": cost, "day": day}[args.what](args)


if __name__ == "__main__":
    main()
