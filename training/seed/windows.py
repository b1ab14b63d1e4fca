"""Draws training windows: events on a time line, frames of one backdrop and clips of sound to match, and questions with their answers.

Every window is new: other events, another backdrop, sometimes cut out of something longer, sometimes with a sense missing. Half of
the windows look into one place where things come and go; half into trimmed clips spliced to a longer video, each with its own backdrop.
"""

from dataclasses import dataclass

import numpy as np

import vision
from classes import INDEX, LABELS
from scene import timeline
from words import ABSENT, DETECT, GROUND, NOTHING, SECONDS, SLOTS, slot

STEP = SECONDS / SLOTS
LONGER = 40.0  # seconds of the time line a window is cut from
SPLICED = 0.5  # share of windows cut out of spliced clips
SHORTEST = 0.5  # seconds of an event inside the window; what is shorter is neither asked for nor told


@dataclass
class Happening:
    label: str
    start: float  # seconds from the window's start, may reach out of it
    end: float
    seen: bool
    heard: bool

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


class Clips:
    """Embeddings of the audio clips by what sounds in them, to be strung together to any time line."""

    def __init__(self, embeddings: np.ndarray, activity: np.ndarray):
        self.embeddings = embeddings.astype(np.float32)
        self.quiet = np.flatnonzero(activity.max(1) < 0.02)
        self.rows, self.share = [], []
        top = np.sort(activity, 1)
        alone = top[:, -2] < 0.03
        for c in range(len(LABELS)):
            rows = np.flatnonzero((activity[:, c] > 0.05) & alone)
            self.rows.append(rows)
            self.share.append(activity[rows, c])

    def near(self, label: int, share: float, rng) -> int:
        """A clip in which this class alone sounds for about `share` of its second."""
        far = np.abs(self.share[label] - share)
        close = np.flatnonzero(far <= max(0.06, np.partition(far, 5)[5]))
        return int(self.rows[label][close[rng.integers(len(close))]])

    def track(self, events: list[tuple[int, float, float]], rng) -> np.ndarray:
        """[40, 128]: a clip for each slot, one second long and centred on it, for (class, start, end) events."""
        bed = self.quiet[(rng.integers(len(self.quiet)) + np.arange(6)) % len(self.quiet)]
        whole = {e: [self.near(e[0], 1.0, rng) for _ in range(int(rng.integers(2, 7)))] for e in events}
        out = np.empty((SLOTS, self.embeddings.shape[1]), np.float32)
        for i in range(SLOTS):
            begin, parts = (i - 0.5) * STEP, []
            for e in events:
                share = min(e[2], begin + 1) - max(e[1], begin)
                if share > 0.97:
                    parts.append(self.embeddings[whole[e][rng.integers(len(whole[e]))]])
                elif share > 0.05:
                    parts.append(self.embeddings[self.near(e[0], share, rng)])
            mixed = np.sum(parts, 0) if parts else self.embeddings[bed[rng.integers(len(bed))]]
            out[i] = mixed / np.linalg.norm(mixed)
        return out


class Sampler:
    """Windows from a bank of frames and a bank of clips."""

    def __init__(self, bank: dict[str, np.ndarray], clips: Clips):
        self.names, self.clips = [str(n) for n in bank["names"]], clips
        self.features, labels, groups = bank["features"], bank["labels"], bank["groups"]
        self.groups = []
        for rows in np.split(np.arange(len(groups)), np.flatnonzero(np.diff(groups)) + 1):
            cast, pairs, empty = {}, {}, []
            for r in rows:
                a, b = (self.names[i] if i >= 0 else "" for i in labels[r, :2])
                if not a:
                    empty.append(r)
                elif not b:
                    cast.setdefault((a, int(labels[r, 2])), []).append(r)
                else:
                    pairs.setdefault(frozenset((a, b)), []).append(r)
            self.groups.append({"cast": {a: rows for (a, _), rows in cast.items()}, "pairs": pairs, "empty": empty})
        self.with_label = {label: [i for i, g in enumerate(self.groups) if label in g["cast"]] for label in LABELS}
        self.absent = list(LABELS) + self.names[len(LABELS) :: 10]

    def events(self, rng, group: dict) -> list[Happening]:
        """What happens in and around a window, with the group's actors in view; others can only be heard."""
        others = [LABELS[i] for i in rng.integers(len(LABELS), size=2)]
        labels = sorted(group["cast"]) * 4 + others
        count = int(round(LONGER / SECONDS * rng.choice([0.0, rng.uniform(0.5, 1.5), rng.uniform(1, 3.2)], p=[0.04, 0.4, 0.56])))
        begin = rng.uniform(0, LONGER - SECONDS) if rng.random() < 0.8 else 0.0
        out = []
        for e in timeline(rng, LONGER, count, labels):
            seen = e.seen and e.label in group["cast"]
            heard = e.label in INDEX and (e.heard or not seen)
            if e.start < begin + SECONDS and e.end > begin and (seen or heard):
                out.append(Happening(e.label, e.start - begin, e.end - begin, seen, heard))
        return out

    def splice(self, rng) -> tuple[list[Happening], list[dict]]:
        """What happens in clips of 5 to 20 s one after the other, at times apart, and the group in view at each slot's beginning."""
        events, shown, labels = [], [None] * SLOTS, []
        begin = -rng.uniform(0, 15)
        while begin < SECONDS:
            apart = rng.uniform(1, 6) if rng.random() < 0.3 else 0.0
            again = labels and labels[-1:] * 2 != labels[-2:] and rng.random() < 0.15
            label = labels[max(len(labels) - 2, 0)] if again else LABELS[rng.integers(len(LABELS))]
            labels.append(label)
            end = begin + float(rng.integers(5, 21))
            seen, heard = ((True, True), (False, True), (True, False))[rng.choice(3, p=[0.6, 0.2, 0.2])]
            group = self.groups[rng.choice(self.with_label[label]) if seen else rng.integers(len(self.groups))]
            between = self.groups[rng.integers(len(self.groups))]
            for i in range(SLOTS):
                if begin <= i * STEP < end + apart:
                    shown[i] = group if i * STEP < end else between
            if end > 0 and begin < SECONDS:
                events.append(Happening(label, begin, end, seen, heard))
            begin = end + apart
        return events, shown

    def frames(self, rng, events: list[Happening], shown: list[dict]) -> np.ndarray:
        """Features of the frame at each slot's beginning, `shown` naming its group."""
        pick = lambda rows: self.features[rows[rng.integers(len(rows))]].astype(np.float32)
        out = np.empty((SLOTS, vision.DIM), np.float32)
        for i, group in enumerate(shown):
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
        if rng.random() < SPLICED:
            events, shown = self.splice(rng)
        else:
            group = self.groups[rng.integers(len(self.groups))]
            events, shown = self.events(rng, group), [group] * SLOTS
        visual = self.frames(rng, events, shown)
        audio = self.clips.track([(INDEX[e.label], e.start, e.end) for e in events if e.heard], rng)
        has = {"seen": np.ones(SLOTS, bool), "heard": np.ones(SLOTS, bool)}
        missing = rng.choice(["", "seen", "heard", "gap"], p=[0.82, 0.06, 0.06, 0.06])
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
        return Window(visual, audio, has["seen"], has["heard"], questions(events, self.absent, rng))
