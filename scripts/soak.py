#!/usr/bin/env python3
"""Runs the daemon on eight live streams of all kinds, two of them hostile, and prints what grows.

    make build
    scripts/soak.py --minutes 30

Test pictures in the daemon and in a process of their own, two RTSP cameras of which one dies each minute, a film that loops, a transport
stream over UDP, a live playlist whose newest parts are refused now and then, and a film over HTTP that is damaged anew each time.
Every ten seconds memory (PSS, and what of it no file backs), threads and descriptors of the daemon and of the processes of its sources, together and
of each stream, are read from /proc; at the end a line is fitted to each (least squares, the first `--settle` minutes left out), and its slope is
printed with the range seen. Exit code 1 where a slope of the daemon is above its limit and the growth it stands for is no noise. What the
daemon does beside the model is measured by `scripts/overhead.py`.
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

from soak_servers import Server, parts

ROOT = Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")
# What the daemon may grow by in an hour, and what a fitted line may show over a whole run without any growth.
LIMITS = {"pss_mib": (8.0, 8.0), "threads": (1.0, 2.0), "fds": (1.0, 2.0)}


def serve(program: Path, port: int, file: Path) -> subprocess.Popen:
    return subprocess.Popen([program, file, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def send(port: int, file: Path) -> subprocess.Popen:
    command = ["ffmpeg", "-v", "quiet", "-re", "-stream_loop", "-1", "-i", file, "-c", "copy", "-f", "mpegts", f"udp://127.0.0.1:{port}?pkt_size=1316"]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


def read(pid: int) -> dict[str, float]:
    """MiB (PSS, and what of it no file backs), threads, descriptors and CPU seconds of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    memory = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {
        "pss_mib": int(re.search(r"\nPss:\s+(\d+)", memory)[1]) / 1024,
        "anon_mib": int(re.search(r"\nPss_Anon:\s+(\d+)", memory)[1]) / 1024,
        "threads": int(re.search(r"Threads:\s+(\d+)", status)[1]),
        "fds": len(os.listdir(f"/proc/{pid}/fd")),
        "cpu_s": (int(fields[11]) + int(fields[12])) / TICKS,
    }


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    return [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]


def sources(log: Path) -> dict[int, str]:
    """Which stream each source's process was started for, by its process id."""
    started = re.compile(r'"pid":(\d+)')
    lines = (line for line in log.read_text().splitlines() if "the source's process started" in line)
    return {int(started.search(line)[1]): re.search(r'"stream":"([^"]+)"', line)[1] for line in lines}


def sample(pid: int, log: Path) -> dict:
    """The daemon's, the sums over its sources' processes, and those of each stream."""
    of_daemon, streams, of_stream = read(pid), {}, sources(log)
    sums = {"children": 0.0, "children_pss_mib": 0.0, "children_anon_mib": 0.0, "children_threads": 0.0, "children_fds": 0.0}
    for child in children(pid):
        try:
            of_child = read(child)
        except (OSError, TypeError):
            continue  # It has just gone.
        sums["children"] += 1
        for key in ("pss_mib", "anon_mib", "threads", "fds"):
            sums[f"children_{key}"] += of_child[key]
        streams[of_stream.get(child, str(child))] = of_child | {"pid": child}
    return of_daemon | sums | {"streams": streams}


def slope(samples: list[tuple[float, float]]) -> float:
    """Least-squares slope in units an hour."""
    mean_t = sum(t for t, _ in samples) / len(samples)
    mean_x = sum(x for _, x in samples) / len(samples)
    spread = sum((t - mean_t) ** 2 for t, _ in samples)
    return 3600 * sum((t - mean_t) * (x - mean_x) for t, x in samples) / spread if spread else 0.0


def by_stream(samples: list[dict]) -> dict[str, dict]:
    """How the memory (PSS) of each stream's process grew, by how many processes it had."""
    told = {}
    for name in sorted({name for each in samples for name in each["streams"]}):
        seen = [(each["t"], each["streams"][name]) for each in samples if name in each["streams"]]
        values = [one["pss_mib"] for _, one in seen]
        told[name] = {
            "slope_per_hour": round(slope([(t, one["pss_mib"]) for t, one in seen]), 3), "min": round(min(values), 1),
            "max": round(max(values), 1), "processes": len({one["pid"] for _, one in seen}),
        }  # fmt: skip
    return told


def configure(folder: Path, streams: dict[str, str], control: int, model: Path, hop: str) -> Path:
    text = "".join(f'[[stream]]\nid = "{name}"\n{settings}\n{hop}\n' for name, settings in streams.items())
    path = folder / "soak.toml"
    path.write_text(
        f'[model]\npath = "{model}"\n[sink]\nkind = "jsonl"\n[sink.jsonl]\npath = "{folder}/records.jsonl"\n'
        f'[outbox]\npath = "{folder}/outbox.redb"\n[control]\nlisten = "127.0.0.1:{control}"\n[log]\nformat = "json"\n{text}'
    )
    return path


def metrics(control: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{control}/metrics", timeout=10) as reply:
        return reply.read().decode()


def watched(records: Path) -> dict[str, float]:
    """The part of each stream's time that was watched."""
    spans: dict[str, list[float]] = {}
    for line in records.read_text().splitlines():
        record = json.loads(line)
        data = record.get("data", record)
        if "watched" in data and "start" in data:
            seconds = data["end"]["stream"] - data["start"]["stream"]
            told = spans.setdefault(data["stream_id"], [0.0, 0.0])
            told[0] += seconds if data["watched"] else 0.0
            told[1] += seconds
    return {name: round(seen / all_, 3) for name, (seen, all_) in sorted(spans.items()) if all_}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--settle", type=float, default=3, help="minutes before the slopes are measured")
    parser.add_argument("--hop", help="of the windows, as `20s`; the default where it is not given")
    parser.add_argument("--port", type=int, default=18554, help="the first of three ports for the servers")
    parser.add_argument("--control", type=int, default=19464)
    parser.add_argument("--file", type=Path, default=ROOT / "assets/demo/scene.mp4")
    parser.add_argument("--model", type=Path, default=ROOT / "assets/models/avicuna-natural")
    parser.add_argument("--build", type=Path, default=ROOT / "target/release", help="where avicuna and examples/serve_rtsp lie")
    parser.add_argument("--json", type=Path, help="write the samples and the summary here")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="avicuna-soak-") as name:
        folder = Path(name)
        http = Server(parts(args.file, folder))
        cameras = [args.port, args.port + 1]
        rtsp = args.build / "examples/serve_rtsp"
        servers = {port: serve(rtsp, port, args.file) for port in cameras}
        sender = send(args.port + 2, args.file)
        streams = {
            "test": 'uri = "test://?wave=ticks"\nisolation = "none"\nlive = true',
            "test-apart": 'uri = "test://?pattern=ball"\nisolation = "process"\nlive = true',
            "camera": f'uri = "rtsp://127.0.0.1:{cameras[0]}/scene"',
            "camera-dies": f'uri = "rtsp://127.0.0.1:{cameras[1]}/scene"',
            "film": f'uri = "{args.file}"\nloop = true\nrealtime = true',
            "udp": f'uri = "udp://127.0.0.1:{args.port + 2}"',
            "playlist-refused": f'uri = "{http.address}/live.m3u8"\nlive = true',
            "damaged": f'uri = "{http.address}/damaged.ts"\nlive = true',
        }
        config = configure(folder, streams, args.control, args.model, f'hop = "{args.hop}"' if args.hop else "")
        log = open(folder / "log", "w")
        # The log says which process is which stream's.
        told = os.environ | {"RUST_LOG": "info,avicuna_pipeline::source::apart=debug"}
        daemon = subprocess.Popen([args.build / "avicuna", "run", "--config", config], stderr=log, stdout=log, env=told)
        began, samples, killed = time.monotonic(), [], 0
        try:
            while (now := time.monotonic() - began) < args.minutes * 60:
                if daemon.poll() is not None:
                    sys.exit(f"the daemon ended with {daemon.returncode}:\n{(folder / 'log').read_text()[-3000:]}")
                if now // 60 > killed:
                    killed = int(now // 60)
                    servers[cameras[1]].kill()
                    servers[cameras[1]].wait()
                    time.sleep(8)
                    servers[cameras[1]] = serve(rtsp, cameras[1], args.file)
                samples.append({"t": now} | sample(daemon.pid, folder / "log"))
                line = "{t:7.0f} s  {pss_mib:7.1f} MiB  {threads:4.0f} threads  {fds:4.0f} fds  {cpu_s:8.1f} CPU s; "
                line += "{children:2.0f} children {children_pss_mib:7.1f} MiB  {children_threads:4.0f} threads  {children_fds:4.0f} fds: "
                held = (f"{name} {one['pss_mib']:.1f}" for name, one in sorted(samples[-1]["streams"].items()))
                print(line.format(**samples[-1]) + ", ".join(held), flush=True)
                time.sleep(10)
            last = metrics(args.control)
            daemon.send_signal(signal.SIGTERM)
            code = daemon.wait(120)
            told = watched(folder / "records.jsonl")
            records = sum(1 for _ in open(folder / "records.jsonl"))
        finally:
            for process in [daemon, sender, *servers.values()]:
                process.kill()
    settled = [s for s in samples if s["t"] >= args.settle * 60] or samples
    summary = {"minutes": args.minutes, "cameras_killed": killed, "asked": http.asked, "records": records, "watched": told, "exit_code": code}
    too_much = []
    of_children = ("children", "children_pss_mib", "children_anon_mib", "children_threads", "children_fds")
    for key in ("pss_mib", "anon_mib", "threads", "fds", *of_children):
        values = [s[key] for s in settled]
        by_hour = slope([(s["t"], s[key]) for s in settled])
        summary[key] = {"slope_per_hour": round(by_hour, 3), "min": round(min(values), 1), "max": round(max(values), 1)}
        limit, noise = LIMITS.get(key, (float("inf"), 0.0))
        if by_hour > limit and by_hour * (settled[-1]["t"] - settled[0]["t"]) / 3600 > noise:
            too_much.append(f"{key} grows by {by_hour:.1f} an hour; {limit} are allowed")
    summary["streams"] = by_stream(settled)
    print(json.dumps(summary, indent=2))
    print("\n".join(line for line in last.splitlines() if re.match(r"avicuna_(stage|windows|reconnects|outbox)", line) and "bucket" not in line))
    if args.json:
        args.json.write_text(json.dumps({"summary": summary, "samples": samples}, indent=1) + "\n")
    if too_much:
        sys.exit("; ".join(too_much))


if __name__ == "__main__":
    main()
