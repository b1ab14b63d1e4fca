"""Sound tracks with their truth: for the audio encoder's training (dense) and for the time lines (sparse)."""

import subprocess
import tempfile

import numpy as np

import sound
from classes import CLASSES
from sound import RATE


def through_aac(track: np.ndarray, bitrate: int) -> np.ndarray:
    """The track after AAC at `bitrate` kbit/s, aligned with the original."""
    with tempfile.NamedTemporaryFile(suffix=".m4a") as file:
        pcm = ["-f", "f32le", "-ar", str(RATE), "-ac", "1"]
        encode = ["ffmpeg", "-v", "error", "-y", *pcm, "-i", "-", "-c:a", "aac", "-b:a", f"{bitrate}k", file.name]
        subprocess.run(encode, input=track.astype("<f4").tobytes(), check=True)
        decode = ["ffmpeg", "-v", "error", "-i", file.name, *pcm, "-"]
        out = np.frombuffer(subprocess.run(decode, capture_output=True, check=True).stdout, np.float32)
    out = out[: len(track)]
    return np.concatenate([out, np.zeros(len(track) - len(out), np.float32)])


def perform(rng, seconds: float, events: list[tuple[int, float, float]], split: str) -> np.ndarray:
    """The sound of (class, start, end) events over a noise bed, mono float32 at 48 kHz."""
    track = sound.noise(seconds, rng, split)
    for index, start, end in events:
        at = int(start * RATE)
        x = sound.performance(index, end - start, rng)[: len(track) - at]
        track[at : at + len(x)] += x
    track = np.clip(track, -1, 1)
    return through_aac(track, int(rng.choice([64, 96, 128]))) if rng.random() < 0.5 else track


def dense(rng, seconds: float) -> list[tuple[int, float, float]]:
    """Events one after the other with short gaps, every third one overlapping the one before."""
    events, at = [], rng.uniform(0, 2)
    while at < seconds - 1.5:
        end = min(at + rng.uniform(1.2, 4), seconds)
        events.append((int(rng.integers(len(CLASSES))), float(at), float(end)))
        at = end + (rng.uniform(-1.5, 0) if rng.random() < 0.33 else rng.uniform(0, 1.5))
    return events


def activity(events: list[tuple[int, float, float]], starts: np.ndarray) -> np.ndarray:
    """[clips, classes]: how much of each clip of 1 s from `starts` (seconds) each class sounds for, 0..1."""
    out = np.zeros((len(starts), len(CLASSES)), np.float32)
    for index, start, end in events:
        out[:, index] = np.maximum(out[:, index], np.clip(np.minimum(end, starts + 1) - np.maximum(start, starts), 0, 1))
    return out
