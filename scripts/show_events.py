#!/usr/bin/env python3
"""Prints event records as `kcat -J` reads them, a line each, and at the end the truth beside what was said.

    kcat -C -b BROKER -t avicuna.events -u -J | scripts/show_events.py --truth assets/demo/scene.json

It ends with its input, or after SIGUSR1 as soon as no event is open.
"""

import argparse
import json
import signal
import sys
from pathlib import Path


class Settled(Exception):
    """No event is open, and no more are waited for."""


SENSES = {"both": "seen and heard", "visual": "seen", "audio": "heard"}


def overlap(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Temporal intersection over union."""
    shared = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    union = max(a[1], b[1]) - min(a[0], b[0])
    return shared / union if union > 0 else 0.0


def line(record: dict) -> str:
    start, end = record["start"]["stream"], record["end"]["stream"]
    said = f"{record['phase']:8} {record['label']:<18} {start:6.1f} - {end:5.1f} s  {SENSES[record['modality']]:<15}"
    return f"{record['start']['utc'][11:19]}  {said} score {record['score']:.2f}  {record['latency_ms']['total']:5.0f} ms"


def compare(ended: list[dict], truth: dict) -> None:
    """Each true event with the event of its label that overlaps it most, then what no truth explains."""
    left = list(ended)
    print(f"\n{'what happens':<20} {'true':>13}   {'said':>13}   tIoU  {'true':<15} said")
    for event in truth["events"]:
        span = (event["start"], event["end"])
        same = [e for e in left if e["label"] == event["label"]]
        best = max(same, key=lambda e: overlap(span, (e["start"]["stream"], e["end"]["stream"])), default=None)
        true = f"{event['label']:<20} {span[0]:5.1f} - {span[1]:5.1f}"
        if best is None or ((found := (best["start"]["stream"], best["end"]["stream"])) and overlap(span, found) == 0):
            print(f"{true}   {'not found':>13}")
            continue
        left.remove(best)
        print(f"{true}   {found[0]:5.1f} - {found[1]:5.1f}   {overlap(span, found):.2f}  {SENSES[event['modality']]:<15} {SENSES[best['modality']]}")
    for event in left:
        print(f"{event['label']:<20} {'':13}   {event['start']['stream']:5.1f} - {event['end']['stream']:5.1f}   not in the scene")


def show(stream: str | None, newest: dict[str, dict]) -> None:
    """Prints the records of `stream`, or of all, and keeps the newest of each event."""
    last = False

    def all_over() -> bool:
        return all(record["phase"] == "ended" for record in newest.values())

    def settle(*_) -> None:
        nonlocal last
        last = True
        if all_over():
            raise Settled

    signal.signal(signal.SIGUSR1, settle)
    for message in sys.stdin:
        record = json.loads(json.loads(message)["payload"])
        if stream and record["stream_id"] != stream:
            continue
        print(line(record), flush=True)
        newest[record["event_id"]] = record
        if last and all_over():
            raise Settled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", type=Path, help="what really happens, as render_scene.py writes it")
    parser.add_argument("--stream", help="only this stream")
    args = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    newest: dict[str, dict] = {}
    try:
        show(args.stream, newest)
    except Settled:
        pass
    if args.truth:
        ended = [record for record in newest.values() if record["phase"] == "ended"]
        compare(ended, json.loads(args.truth.read_text()))


if __name__ == "__main__":
    main()
