#!/usr/bin/env python3
"""How much of the daemon's time four streams spend outside the encoders and the LLM.

    make build
    scripts/overhead.py FILM FILM FILM FILM

Files slow down to what the model manages, so the model is never idle: of the time between the first and the last window, what is not inside an
encoder or LLM call is spent on something else. The daemon's own metrics tell how long those calls took. Decoding runs beside the
calls and makes them longer: the processor seconds of all are told too.
"""

import argparse
import os
import re
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def stages(control: int) -> dict[str, float]:
    """Seconds spent in each stage so far."""
    with urllib.request.urlopen(f"http://127.0.0.1:{control}/metrics", timeout=2) as reply:
        text = reply.read().decode()
    found = re.findall(r'^avicuna_stage_seconds_sum\{stage="(\w+)"\} (\S+)$', text, re.MULTILINE)
    return {stage: float(seconds) for stage, seconds in found}


def watch(films: list[Path], binary: Path, model: Path, control: int) -> list[tuple[float, dict[str, float]]]:
    """What the stages came to, sampled until the daemon is done."""
    with tempfile.TemporaryDirectory(prefix="avicuna-overhead-") as name:
        config = Path(name) / "config.toml"
        streams = "".join(f'[[stream]]\nid = "film-{i}"\nuri = "{film.resolve()}"\n' for i, film in enumerate(films))
        config.write_text(
            f'[model]\npath = "{model}"\n[sink]\nkind = "jsonl"\n[sink.jsonl]\npath = "{name}/records.jsonl"\n'
            f'[outbox]\npath = "{name}/outbox.redb"\n[control]\nlisten = "127.0.0.1:{control}"\n{streams}'
        )
        daemon = subprocess.Popen([binary, "run", "--config", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        samples = []
        while daemon.poll() is None:
            try:
                samples.append((time.monotonic(), stages(control)))
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                pass
            time.sleep(0.1)
        if daemon.returncode != 0:
            raise SystemExit(f"the daemon ended with {daemon.returncode}")
        return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", type=Path, nargs="+")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/avicuna")
    parser.add_argument("--model", type=Path, default=ROOT / "assets/models/avicuna-natural")
    parser.add_argument("--control", type=int, default=19465)
    args = parser.parse_args()

    before = os.times()
    samples = watch(args.films, args.binary, args.model, args.control)
    after = os.times()
    inside = [(at, found.get("encode", 0.0) + found.get("llm", 0.0)) for at, found in samples]
    # A call counts when it is over: from the first one that is, to the last.
    first = next(i for i, (_, seconds) in enumerate(inside) if seconds > 0)
    last = next(i for i, (_, seconds) in enumerate(inside) if seconds == inside[-1][1])
    wall, calls = inside[last][0] - inside[first][0], inside[last][1] - inside[first][1]
    cpu = (after.children_user + after.children_system) - (before.children_user + before.children_system)
    print(f"{len(args.films)} films: {wall:.1f} s from the first answer to the last, {calls:.1f} s of them in encoder and LLM calls")
    print(f"outside of them: {100 * (wall - calls) / wall:.1f} % of the time (at most 5 wanted)")
    print(f"processor: {cpu:.1f} s in all, start included")
    print({stage: round(seconds, 2) for stage, seconds in samples[-1][1].items()})


if __name__ == "__main__":
    main()
