#!/usr/bin/env python3
"""What it costs a fleet that daemons come, go and die, by the number of its streams.

    make build && scripts/setup.sh test
    scripts/fleet_scale.py --streams 100 1000
    scripts/fleet_scale.py --streams 10000 --known
    scripts/fleet_scale.py --streams 48 --daemons 1 2 4

Three daemons share streams of generated pictures, one small picture a second each and a window a minute, through one broker on this machine. With
`--known` the streams are disabled: the daemons share, read and tell them, and watch none. Printed are the seconds until all streams are watched (of
known ones: until every partition has a daemon and every daemon knows all), and what a daemon needs then. With `--daemons` so many share the streams,
none comes or goes, and printed is what all of them need together.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from tiny_model import tiny_model

ROOT = Path(__file__).resolve().parent.parent
SESSION = 6
PATIENCE = 600


def port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


class Broker:
    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, port()
        self.kafka("start", "--port", str(self.port), "--controller-port", str(port()))

    def kafka(self, *command: str) -> None:
        subprocess.run([ROOT / "scripts/kafka.sh", *command, "--dir", self.folder], check=True, stdout=subprocess.DEVNULL)


class Daemon:
    def __init__(self, args: argparse.Namespace, folder: Path, broker: int, name: str) -> None:
        self.args, self.name, self.control, self.file = args, name, port(), folder / f"{name}.toml"
        self.file.write_text(
            f'model.path = "{args.model or folder / "tiny-model"}"\nmodel.threads = 1\noutbox.path = "{folder}/{name}.redb"\nlog.level = "warn"\n'
            f'[control]\nlisten = "127.0.0.1:{self.control}"\nallow.schemes = ["test"]\n'
            f'[history]\nmax_bytes = 50000000\n[sink.kafka]\nbrokers = "127.0.0.1:{broker}"\n'
            f'[fleet]\ngroup = "scale"\nmember = "{name}"\nsession_timeout = "{SESSION}s"\nhand_over = "2s"\n'
        )
        self.log = folder / f"{name}.log"
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        with self.log.open("a") as log:
            self.process = subprocess.Popen([self.args.program, "run", "--config", self.file], stdout=log, stderr=log)

    def end(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        self.process.wait(PATIENCE)

    def fleet(self) -> dict:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.control}/v1/fleet", timeout=60) as reply:
            return json.load(reply)

    def cost(self) -> tuple[float, float, int]:
        """CPU seconds so far, MiB (PSS) and threads."""
        proc = Path(f"/proc/{self.process.pid}")
        ticks = proc.joinpath("stat").read_text().rsplit(") ", 1)[1].split()
        pss = next(line for line in proc.joinpath("smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
        return (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK"), int(pss.split()[1]) / 1024, int(ticks[17])


def until(asked: Daemon, owners: set[str], count: int, known: bool) -> float:
    """Seconds until exactly these daemons share all streams, as one of them sees it."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE:
        if asked.process.poll() is not None:
            raise SystemExit(f"{asked.name} ended; {asked.log} says why")
        try:
            seen = asked.fleet()
        except OSError:
            seen = {"members": [], "streams": [], "unassigned": [0]}
        # One that died is listed until it was silent for long.
        has = {member["member"] for member in seen["members"] if member["partitions"]}
        mine = [stream for stream in seen["streams"] if stream["member"] in owners and stream["state"] == ("disabled" if known else "watching")]
        if len(mine) == count and not seen["unassigned"] and owners <= has:
            return time.monotonic() - began
        time.sleep(0.5)
    states: dict[str, int] = {}
    for stream in seen["streams"]:
        states[stream["state"]] = states.get(stream["state"], 0) + 1
    shares = {member["member"]: len(member["partitions"]) for member in seen["members"]}
    raise SystemExit(f"not within {PATIENCE} s: {states}, {shares}; logs in {asked.log.parent}")


def apply(args: argparse.Namespace, folder: Path, through: Daemon, count: int) -> float:
    """Tells the fleet of all streams; seconds that takes."""
    streams = folder / "streams.toml"
    enabled = "enabled = false\n" if args.known else ""
    source = 'uri = "test://?width=16&height=16&fps=1"\nlive = true\naudio = false\nhop = "60s"\nwindow = "60s"\n'
    streams.write_text("".join(f'[[stream]]\nid = "cam-{i:05}"\n{enabled}{source}' for i in range(count)))
    began = time.monotonic()
    subprocess.run([args.program, "fleet", "apply", streams, "--config", through.file], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def shared(args: argparse.Namespace, count: int, number: int) -> dict[str, float]:
    """What `number` daemons need that share so many streams."""
    folder = Path(tempfile.mkdtemp(prefix="avicuna-scale-"))
    tiny_model(folder)
    broker = Broker(folder / "kafka")
    names = {f"daemon-{index}" for index in range(number)}
    daemons = [Daemon(args, folder, broker.port, name) for name in sorted(names)]
    try:
        for daemon in daemons:
            daemon.start()
        until(daemons[0], names, 0, True)
        apply(args, folder, daemons[0], count)
        until(daemons[0], names, count, args.known)
        # Each stream's first window, and one more.
        time.sleep(120)
        before, began = [daemon.cost() for daemon in daemons], time.monotonic()
        time.sleep(60)
        after, took = [daemon.cost() for daemon in daemons], time.monotonic() - began
        cores = sum(now[0] - then[0] for now, then in zip(after, before)) / took
        mib, threads = sum(now[1] for now in after), sum(now[2] for now in after)
        return {"daemons": number, "cores": cores, "ms a second of each stream": 1000 * cores / count, "MiB": mib, "threads": threads}
    finally:
        for daemon in daemons:
            if daemon.process and daemon.process.poll() is None:
                daemon.end(signal.SIGKILL)
        broker.kafka("wipe")


def measure(args: argparse.Namespace, count: int) -> dict[str, float]:
    folder = Path(tempfile.mkdtemp(prefix="avicuna-scale-"))
    tiny_model(folder)
    broker = Broker(folder / "kafka")
    one, two, three = daemons = [Daemon(args, folder, broker.port, name) for name in ("one", "two", "three")]
    try:
        one.start()
        two.start()
        until(one, {"one", "two"}, 0, True)
        told = {"applied": apply(args, folder, one, count)}
        told["all watched"] = told["applied"] + until(one, {"one", "two"}, count, args.known)
        # Until each has had a window: what nothing is known of begins anew, and new streams are spread over a hop.
        time.sleep(10 if args.known else 130)
        three.start()
        told["a third comes"] = until(one, {"one", "two", "three"}, count, args.known)
        time.sleep(10)
        before = one.cost()
        time.sleep(20)
        after = one.cost()
        told["cores of one in rest"], told["MiB of one"], told["threads of one"] = (after[0] - before[0]) / 20, after[1], after[2]
        time.sleep(0 if args.known else 70)
        three.end(signal.SIGKILL)
        told["it is killed"] = until(one, {"one", "two"}, count, args.known)
        time.sleep(10)
        two.process.send_signal(signal.SIGTERM)
        told["another leaves"] = until(one, {"one"}, count, args.known)
        return told
    finally:
        for daemon in daemons:
            if daemon.process and daemon.process.poll() is None:
                daemon.end(signal.SIGKILL)
        broker.kafka("wipe")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--daemons", type=int, nargs="+", default=[], help="so many share the streams, and none comes or goes")
    parser.add_argument("--known", action="store_true", help="streams are known and not watched")
    parser.add_argument("--model", type=Path, help="by default one of random weights, which costs next to nothing")
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/avicuna")
    args = parser.parse_args()
    runs = [(count, number) for count in args.streams for number in args.daemons or [0]]
    for count, number in runs:
        told = shared(args, count, number) if number else measure(args, count)
        row = ", ".join(f"{what} {value:.2f}" for what, value in told.items())
        print(f"{count} streams {'known' if args.known else 'watched'}: {row}", flush=True)


if __name__ == "__main__":
    main()
