"""A scene: a backdrop, a noise bed and events with a start, an end and the senses they appear to."""

from dataclasses import asdict, dataclass

import numpy as np
from PIL import Image

import sound
from classes import CLASSES, INDEX
from picture import Actor, Backdrop

MODALITIES = ("both", "audio", "visual")


@dataclass
class Event:
    label: str
    start: float
    end: float
    modality: str  # one of MODALITIES

    seen = property(lambda self: self.modality != "audio")
    heard = property(lambda self: self.modality != "visual")

    def json(self) -> dict:
        return asdict(self)


def timeline(rng, duration: float, count: int, labels: list[str]) -> list[Event]:
    """`count` events at random times, some cut by the edges, some overlapping, now and then the same label twice."""
    events: list[Event] = []
    for _ in range(count * 8):
        if len(events) == count:
            break
        length = min(rng.choice([rng.uniform(1.6, 4), rng.uniform(3, 8), rng.uniform(6, 14)]), 0.9 * duration)
        start = rng.uniform(-0.35 * length, duration - 0.65 * length)
        start, end = max(0.0, start), min(duration, start + length)
        repeat = bool(events) and rng.random() < 0.15
        label = events[-1].label if repeat else labels[rng.integers(len(labels))]
        modality = MODALITIES[rng.choice(3, p=[0.5, 0.25, 0.25])]
        new = Event(label, round(float(start), 2), round(float(end), 2), modality)
        near = [e for e in events if e.start < new.end + 1.2 and new.start < e.end + 1.2]
        if any(e.label == label for e in near) or len(near) > 1 or (near and rng.random() < 0.75):
            continue
        events.append(new)
    return sorted(events, key=lambda e: e.start)


class Scene:
    """Renders events over a backdrop and a noise bed; everything but the events follows from the seed."""

    def __init__(self, events: list[Event], duration: float, seed: int, split: str):
        rng = np.random.default_rng(seed)
        self.events, self.duration = events, duration
        self.backdrop = Backdrop(rng, split)
        self.actors = []
        for event in events:
            c = CLASSES[INDEX[event.label]]
            pictures = c.train_pictures if split == "train" else c.test_pictures
            self.actors.append(Actor(pictures[rng.integers(len(pictures))], rng))
        self.audio_seed = int(rng.integers(2**31))
        self.split = split

    def frame(self, t: float) -> Image.Image:
        """The picture at `t` seconds, RGB, WIDTH x HEIGHT."""
        image = self.backdrop.at(t)
        for event, actor in zip(self.events, self.actors):
            if event.seen and event.start <= t < event.end:
                actor.draw(image, t)
        return image

    def audio(self) -> np.ndarray:
        """The whole sound track, mono float32 at 48 kHz, clipped to [-1, 1]."""
        rng = np.random.default_rng(self.audio_seed)
        track = sound.noise(self.duration, rng, self.split)
        for event in self.events:
            if event.heard:
                at = int(event.start * sound.RATE)
                x = sound.performance(INDEX[event.label], event.end - event.start, rng)[: len(track) - at]
                track[at : at + len(x)] += x
        return np.clip(track, -1, 1)
