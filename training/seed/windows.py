"""Draws training windows: a stretch of a sound track with its events, and a visual time line from one backdrop's frames.

Every window is new: another stretch, another backdrop, other events visible or not, sometimes a sense missing.
"""

from dataclasses import dataclass

import numpy as np

import vision
from classes import LABELS
from words import ABSENT, DETECT, GROUND, NOTHING, SECONDS, SLOTS, slot

STEP = SECONDS / SLOTS
SHORTEST = 0.5  # seconds of an event inside the window; what is shorter is neither asked for nor told


@dataclass
class Happening:
    label: str
    start: float  # seconds from the window's start, may reach out of it
    end: float
    seen: bool
    heard: bool
    actor: int = -1

    @property
    def span(self) -> tuple[float, float]:
        return max(self.start, 0.0), min(self.end, SECONDS)

    @property
    def length(self) -> float:
        return self.span[1] - self.span[0]

    @property
    def sense(self) -> str:
        return "seen and heard" if self.seen and self.heard else "seen" if self.seen else "heard"

    def interval(self) -> str:
        return f"{slot(self.span[0])} to {slot(self.span[1])}"


@dataclass
class Window:
    visual: np.ndarray  # [40, 2280]
    audio: np.ndarray  # [40, 128]
    has_visual: np.ndarray  # [40] bool
    has_audio: np.ndarray
    questions: list[tuple[str, str]]


def detect_answer(events: list[Happening]) -> str:
    told = [f"From {e.interval()}, {e.label}, {e.sense}." for e in events]
    return " ".join(told) or NOTHING


def ground_answer(events: list[Happening]) -> str:
    parts = [f"{'From' if i == 0 else 'from'} {e.interval()}, {e.sense}" for i, e in enumerate(events)]
    return ", and ".join(parts) + "." if parts else ABSENT


def questions(events: list[Happening], others: list[str], rng) -> list[tuple[str, str]]:
    """One detection, up to two groundings of what happens, the rest (three groundings in all) of what does not."""
    told = sorted((e for e in events if e.length >= SHORTEST), key=lambda e: (e.span[0], e.span[1]))
    labels = sorted({e.label for e in told})
    touched = {e.label for e in events}
    asked = [str(x) for x in rng.permutation(labels)[: 2 if rng.random() < 0.9 else 3]]
    absent = [x for x in others if x not in touched]
    asked += [absent[i] for i in rng.choice(len(absent), 3 - len(asked), replace=False)]
    pairs = [(DETECT, detect_answer(told))]
    return pairs + [(GROUND.format(event=x), ground_answer([e for e in told if e.label == x])) for x in asked]


class Sampler:
    """Windows from a bank of frames and a set of encoded tracks, each track with the group its labels were drawn from."""

    def __init__(self, bank: dict[str, np.ndarray], tracks: list[dict]):
        self.names = [str(n) for n in bank["names"]]
        self.features, labels, groups = bank["features"], bank["labels"], bank["groups"]
        self.groups = []
        for g in range(int(groups.max()) + 1):
            rows = np.flatnonzero(groups == g)
            cast, pairs, empty = {}, {}, []
            for r in rows:
                a, b = int(labels[r, 0]), int(labels[r, 1])
                if a < 0:
                    empty.append(r)
                elif b < 0:
                    cast.setdefault((self.names[a], int(labels[r, 2])), []).append(r)
                else:
                    pairs.setdefault(frozenset((self.names[a], self.names[b])), []).append(r)
            by_label = {label: rows for (label, _), rows in cast.items()}
            self.groups.append({"cast": by_label, "pairs": pairs, "empty": empty})
        self.tracks = tracks
        self.absent = list(LABELS) + [n for i, n in enumerate(self.names[len(LABELS) :]) if i % 10 == 0]

    def group(self, rng, track: dict, heard: set[str]) -> dict:
        if rng.random() < 0.4:
            return self.groups[track["group"] % len(self.groups)]
        some = rng.choice(len(self.groups), min(60, len(self.groups)), replace=False)
        fit = [len(heard & self.groups[g]["cast"].keys()) for g in some]
        return self.groups[some[int(np.argmax(fit))]]

    def events(self, rng, track: dict, begin: float, group: dict) -> list[Happening]:
        """The track's events in the window, some of them seen too, and some that are only seen."""
        events = []
        for label, start, end in track["events"]:
            if start - begin < SECONDS and end - begin > 0:
                seen = label in group["cast"] and rng.random() < 0.75
                events.append(Happening(label, start - begin, end - begin, seen, True))
        for _ in range(rng.choice(4, p=[0.35, 0.35, 0.2, 0.1])):
            label = str(rng.choice(sorted(group["cast"])))
            partners = [x for e in events if e.seen for pair in group["pairs"] if e.label in pair for x in pair - {e.label}]
            if partners and rng.random() < 0.5:
                label = str(rng.choice(sorted(partners)))
            length = rng.choice([rng.uniform(1.6, 4), rng.uniform(3, 8), rng.uniform(6, 14)])
            start = rng.uniform(-0.6 * length, SECONDS - 0.4 * length)
            new = Happening(label, start, start + length, True, False)
            near = [e for e in events if e.start < new.end + 1.2 and new.start < e.end + 1.2]
            if any(e.label == label for e in near) or len(near) > 1 or (near and rng.random() < 0.5):
                continue
            events.append(new)
        return events

    def frames(self, rng, events: list[Happening], group: dict) -> np.ndarray:
        """Features of the frame at each slot's beginning."""
        pick = lambda rows: self.features[rows[rng.integers(len(rows))]].astype(np.float32)
        out = np.empty((SLOTS, vision.DIM), np.float32)
        for i in range(SLOTS):
            there = [e.label for e in events if e.seen and e.start <= i * STEP < e.end][:2]
            if len(there) < 2:
                out[i] = pick(group["cast"][there[0]] if there else group["empty"])
            elif frozenset(there) in group["pairs"]:
                out[i] = pick(group["pairs"][frozenset(there)])
            else:
                a, b, none = pick(group["cast"][there[0]]), pick(group["cast"][there[1]]), pick(group["empty"])
                out[i, : vision.POOLED] = np.maximum(a + b - none, 0)[: vision.POOLED]
                out[i, vision.POOLED :] = (a + b)[vision.POOLED :] / 2
        return out

    def draw(self, rng) -> Window:
        track = self.tracks[rng.integers(len(self.tracks))]
        first = int(rng.integers(0, len(track["embeddings"]) - SLOTS + 1))
        begin = first * STEP
        heard = {label for label, start, end in track["events"] if start < begin + SECONDS and end > begin}
        group = self.group(rng, track, heard)
        events = self.events(rng, track, begin, group)
        has = {"seen": np.ones(SLOTS, bool), "heard": np.ones(SLOTS, bool)}
        missing = rng.choice(["", "seen", "heard", "gap"], p=[0.8, 0.07, 0.07, 0.06])
        if missing == "gap":
            which, other = ("seen", "heard") if rng.random() < 0.5 else ("heard", "seen")
            at, length = int(rng.integers(SLOTS - 4)), int(rng.integers(3, 13))
            hidden = [e for e in events if getattr(e, which) and e.start < (at + length) * STEP and e.end > at * STEP]
            if all(getattr(e, other) for e in hidden):
                has[which][at : at + length] = False
        elif missing:
            has[missing][:] = False
            for e in events:
                setattr(e, missing, False)
        events = [e for e in events if e.seen or e.heard]
        visual = self.frames(rng, events, group)
        audio = track["embeddings"][first : first + SLOTS].astype(np.float32)
        return Window(visual, audio, has["seen"], has["heard"], questions(events, self.absent, rng))
