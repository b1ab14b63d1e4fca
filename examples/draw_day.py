#!/usr/bin/env python3
"""Draws a day of events from Kafka as one picture: for each stream what was seen and what was heard, and what was not watched.

    examples/draw_day.py --broker localhost:9092 --day 2026-11-29 --out day.svg

It needs kcat and nothing else. A name that ends in .html makes a page instead, for a browser. Pointing at an event names it.
"""

import argparse
import html
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

LANES = {"seen": ("visual", "both"), "heard": ("audio", "both")}
LEFT, HOUR, ROW, TOP = 160, 48, 16, 34

STYLE = """
svg { background: #fff; font: 11px system-ui, sans-serif; } text { fill: #222; } .soft { fill: #667; }
.lane { fill: #f1f1ee; } .grid { stroke: #d5d5d0; } .blind { fill: #c62828; fill-opacity: .25; }
.seen { fill: #1f6feb; } .heard { fill: #c05a0c; }
@media (prefers-color-scheme: dark) { svg { background: #15171a; } text { fill: #eee; } .soft { fill: #9aa; }
  .lane { fill: #22262a; } .grid { stroke: #3a3f44; } .seen { fill: #58a6ff; } .heard { fill: #f0883e; } }
"""


def records(broker: str, topic: str) -> Iterator[dict]:
    """The records of a topic, from its first to its last at this moment."""
    command = ["kcat", "-C", "-q", "-b", broker, "-t", topic, "-o", "beginning", "-e", "-u", "-J"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as kcat:
        for line in kcat.stdout:
            yield json.loads(json.loads(line)["payload"])
        trouble = kcat.stderr.read().strip()
    if kcat.returncode:
        raise SystemExit(f"kcat cannot read {topic} of {broker}: {trouble}")


def at(instant: dict) -> datetime:
    return datetime.fromisoformat(instant["utc"])


class Day:
    """One day: its events in their last state, and what was not watched of it."""

    def __init__(self, begins: datetime, ends: datetime, stream: str | None) -> None:
        self.begins, self.ends, self.stream = begins, ends, stream
        self.events: dict[str, dict] = {}
        self.blind: list[dict] = []

    def holds(self, record: dict) -> bool:
        of_stream = self.stream in (None, record["stream_id"])
        return of_stream and at(record["end"]) > self.begins and at(record["start"]) < self.ends

    def event(self, record: dict) -> None:
        # A record may come again, and runs that were killed may tell them out of order.
        known = self.events.get(record["event_id"])
        if known is None or record["revision"] >= known["revision"]:
            self.events[record["event_id"]] = record

    def coverage(self, record: dict) -> None:
        if not record["watched"] and self.holds(record):
            self.blind.append(record)

    def streams(self) -> list[str]:
        shown = [event for event in self.events.values() if self.holds(event)]
        return sorted({record["stream_id"] for record in [*shown, *self.blind]})

    def x(self, moment: datetime) -> float:
        inside = min(max(moment, self.begins), self.ends)
        return LEFT + (inside - self.begins) / timedelta(hours=1) * HOUR

    def span(self, record: dict) -> tuple[float, float]:
        """Where a record begins on the picture, and how wide it is; nothing is too short to be seen."""
        left, right = self.x(at(record["start"])), self.x(at(record["end"]))
        return left, max(right - left, 1.0)


def plain(text: str) -> str:
    """Text that may stand in XML."""
    return html.escape("".join(letter if letter.isprintable() else " " for letter in text))


def box(style: str, left: float, top: float, width: float, title: str) -> str:
    return f'<rect class="{style}" x="{left:.2f}" y="{top}" width="{width:.2f}" height="{ROW - 2}"><title>{plain(title)}</title></rect>'


def named(record: dict) -> str:
    start, end = record["start"]["utc"][11:19], record["end"]["utc"][11:19]
    if "label" in record:
        return f"{record['label']}, {start} to {end} UTC, {record['score']:.2f}"
    return f"not watched, {start} to {end} UTC: {record['reason']}"


def rows(day: Day, streams: list[str]) -> Iterator[str]:
    for number, stream in enumerate(streams):
        top = TOP + number * (2 * ROW + 10)
        shown = stream if len(stream) < 20 else f"{stream[:19]}…"
        yield f'<text x="4" y="{top + ROW}"><title>{plain(stream)}</title>{plain(shown)}</text>'
        for lane, (name, modalities) in enumerate(LANES.items()):
            y = top + lane * ROW
            yield f'<rect class="lane" x="{LEFT}" y="{y}" width="{day.x(day.ends) - LEFT:.2f}" height="{ROW - 2}"/>'
            yield f'<text class="soft" x="{LEFT - 36}" y="{y + 11}">{name}</text>'
            for record in day.blind:
                if record["stream_id"] == stream:
                    yield box("blind", *in_row(day, record, y), named(record))
            for event in day.events.values():
                if event["stream_id"] == stream and event["modality"] in modalities and day.holds(event):
                    yield box(name, *in_row(day, event, y), named(event))


def in_row(day: Day, record: dict, y: float) -> tuple[float, float, float]:
    left, width = day.span(record)
    return left, y, width


def picture(day: Day, zone: ZoneInfo) -> str:
    streams = day.streams()
    hours = round((day.ends - day.begins) / timedelta(hours=1))
    width, height = LEFT + hours * HOUR + 20, TOP + len(streams) * (2 * ROW + 10) + 8
    title = f"{day.begins.astimezone(zone).date()}, {zone.key}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f'<title>{plain(title)}</title><style>{STYLE}</style><text x="4" y="14">{plain(title)}</text>',
    ]
    for hour in range(hours + 1):
        moment = day.begins + timedelta(hours=hour)
        x = day.x(moment)
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP - 12}" y2="{height - 4}"/>')
        parts.append(f'<text class="soft" x="{x + 2}" y="{TOP - 14}">{moment.astimezone(zone):%H}</text>')
    if not streams:
        parts.append(f'<text x="{LEFT}" y="{TOP + 4}">nothing happened</text>')
    parts.extend(rows(day, streams))
    return "\n".join([*parts, "</svg>\n"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", required=True, help="HOST:PORT")
    parser.add_argument("--events", default="avicuna.events", help="the topic of events")
    parser.add_argument("--coverage", default="avicuna.coverage", help="the topic of coverage")
    parser.add_argument("--day", type=date.fromisoformat, help="YYYY-MM-DD; today by default")
    parser.add_argument("--zone", type=ZoneInfo, default=ZoneInfo("UTC"), help="whose day, as Europe/Berlin; UTC by default")
    parser.add_argument("--stream", help="only this stream")
    parser.add_argument("--out", type=Path, required=True, help="a file, .svg or .html")
    args = parser.parse_args()
    today = args.day or datetime.now(args.zone).date()
    midnights = [datetime.combine(day, time(), args.zone).astimezone(UTC) for day in (today, today + timedelta(days=1))]
    day = Day(*midnights, args.stream)
    for record in records(args.broker, args.events):
        day.event(record)
    for record in records(args.broker, args.coverage):
        day.coverage(record)
    drawn = picture(day, args.zone)
    if args.out.suffix == ".html":
        drawn = f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{today}</title>\n<body>\n{drawn}</body></html>\n'
    args.out.write_text(drawn, encoding="utf-8")
    shown = sum(map(day.holds, day.events.values()))
    print(f"{shown} events of {len(day.streams())} streams in {args.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
