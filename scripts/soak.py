#!/usr/bin/env python3
"""Runs the daemon on four live RTSP streams, kills one of their servers every minute, and prints what grows.

    make build
    scripts/soak.py --minutes 30

Every ten seconds the daemon's resident memory, threads and descriptors are read from /proc; at the end a line is fitted to
each (least squares, the first `--settle` minutes left out) and its slope is printed with the range seen. What the daemon does
beside the model is measured by `scripts/overhead.py`.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")


def serve(port: int, file: Path) -> subprocess.Popen:
    command = [ROOT / "target/release/examples/serve_rtsp", file, str(port)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def read(pid: int) -> dict[str, float]:
    """Resident MiB, threads, descriptors and CPU seconds of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return {
        "rss_mib": int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024,
        "threads": int(re.search(r"Threads:\s+(\d+)", status)[1]),
        "fds": len(os.listdir(f"/proc/{pid}/fd")),
        "cpu_s": (int(fields[11]) + int(fields[12])) / TICKS,
    }


def slope(samples: list[tuple[float, float]]) -> float:
    """Least-squares slope in units an hour."""
    mean_t = sum(t for t, _ in samples) / len(samples)
    mean_x = sum(x for _, x in samples) / len(samples)
    spread = sum((t - mean_t) ** 2 for t, _ in samples)
    return 3600 * sum((t - mean_t) * (x - mean_x) for t, x in samples) / spread if spread else 0.0


def configure(folder: Path, ports: list[int], control: int, model: Path) -> Path:
    streams = "".join(
        f'[[stream]]\nid = "stream-{i}"\nuri = "rtsp://127.0.0.1:{port}/scene"\n' for i, port in enumerate(ports)
    )
    path = folder / "soak.toml"
    path.write_text(
        f'[model]\npath = "{model}"\n[sink]\nkind = "jsonl"\n[sink.jsonl]\npath = "{folder}/records.jsonl"\n'
        f'[outbox]\npath = "{folder}/outbox.redb"\n[control]\nlisten = "127.0.0.1:{control}"\n[log]\nformat = "json"\n{streams}'
    )
    return path


def metrics(control: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{control}/metrics", timeout=10) as reply:
        return reply.read().decode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--settle", type=float, default=3, help="minutes before the slopes are measured")
    parser.add_argument("--port", type=int, default=18554, help="the first of four ports for the servers")
    parser.add_argument("--control", type=int, default=19464)
    parser.add_argument("--file", type=Path, default=ROOT / "assets/demo/scene.mp4")
    parser.add_argument("--model", type=Path, default=ROOT / "assets/models/avicuna-natural")
    parser.add_argument("--json", type=Path, help="write the samples and the summary here")
    args = parser.parse_args()

    ports = [args.port + i for i in range(4)]
    servers = {port: serve(port, args.file) for port in ports}
    with tempfile.TemporaryDirectory(prefix="avicuna-soak-") as name:
        folder = Path(name)
        config = configure(folder, ports, args.control, args.model)
        log = open(folder / "log", "w")
        daemon = subprocess.Popen([ROOT / "target/release/avicuna", "run", "--config", config], stderr=log, stdout=log)
        began, samples, killed = time.monotonic(), [], 0
        try:
            while (now := time.monotonic() - began) < args.minutes * 60:
                if daemon.poll() is not None:
                    sys.exit(f"the daemon ended with {daemon.returncode}:\n{(folder / 'log').read_text()[-3000:]}")
                if now // 60 > killed:
                    killed = int(now // 60)
                    port = ports[killed % 4]
                    servers[port].kill()
                    servers[port].wait()
                    time.sleep(8)
                    servers[port] = serve(port, args.file)
                sample = {"t": now} | read(daemon.pid)
                samples.append(sample)
                print("{t:7.0f} s  {rss_mib:7.1f} MiB  {threads:4.0f} threads  {fds:4.0f} fds  {cpu_s:8.1f} CPU s".format(**sample), flush=True)
                time.sleep(10)
            last = metrics(args.control)
            records = sum(1 for _ in open(folder / "records.jsonl"))
            daemon.send_signal(signal.SIGTERM)
            code = daemon.wait(60)
        finally:
            for process in [daemon, *servers.values()]:
                process.kill()
        settled = [s for s in samples if s["t"] >= args.settle * 60] or samples
        summary = {"minutes": args.minutes, "outages": killed, "records": records, "exit_code": code}
        for key in ("rss_mib", "threads", "fds"):
            values = [s[key] for s in settled]
            summary[key] = {"slope_per_hour": round(slope([(s["t"], s[key]) for s in settled]), 3), "min": min(values), "max": max(values)}
        print(json.dumps(summary, indent=2))
        print("\n".join(line for line in last.splitlines() if re.match(r"avicuna_(stage|windows|reconnects|outbox)", line) and "bucket" not in line))
        if args.json:
            args.json.write_text(json.dumps({"summary": summary, "samples": samples}, indent=1) + "\n")


if __name__ == "__main__":
    main()
