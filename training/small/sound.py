"""What a scene sounds like. Mono float32 at 48 kHz; levels are RMS."""

import subprocess
from functools import lru_cache

import numpy as np

from classes import CLASSES, STAMPS, speech

RATE = 48_000
TRAIN_NOISES = ("white", "pink", "brown", "hum", "crackle")
HELD_OUT_NOISES = ("wind", "clicks")


@lru_cache(maxsize=1024)
def decode(path: str) -> np.ndarray:
    command = ["ffmpeg", "-v", "error", "-i", path, "-ac", "1", "-ar", str(RATE), "-f", "f32le", "-"]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.float32)


@lru_cache(maxsize=64)
def effect(index: int) -> np.ndarray:
    """A class's sound effect without its silences, at RMS 0.1: pauses in a recording would be no evidence while the event lasts."""
    x = decode(str(STAMPS / CLASSES[index].sound)).astype(np.float32)
    step = RATE // 50
    blocks = x[: len(x) // step * step].reshape(-1, step)
    level = 10 * np.log10((blocks**2).mean(1) + 1e-10)
    loud = level > level.max() - 32
    keep = np.convolve(loud, np.ones(9), "same") > 0  # 80 ms of tail on each side
    x = blocks[keep].ravel()
    return (0.1 * x / max(np.sqrt((x**2).mean()), 1e-6)).astype(np.float32)


def _equaliser(x: np.ndarray, rng) -> np.ndarray:
    """A gentle random tone control: gains at six frequencies, straight lines between on a log axis."""
    spectrum = np.fft.rfft(x)
    at = np.log(np.geomspace(60, 20_000, 6))
    frequency = np.log(np.fft.rfftfreq(len(x), 1 / RATE) + 1)
    return np.fft.irfft(spectrum * 10 ** (np.interp(frequency, at, rng.uniform(-5, 5, 6)) / 20), len(x)).astype(np.float32)


def performance(index: int, seconds: float, rng) -> np.ndarray:
    """A class's effect looped for `seconds`: random speed (with pitch), tone, starting point, level and short pauses."""
    x = effect(index)
    speed = np.exp(rng.uniform(-0.13, 0.13))
    x = np.interp(np.arange(0, len(x) - 1, speed), np.arange(len(x)), x).astype(np.float32)
    x = _equaliser(x, rng)
    pause = np.zeros(int(RATE * rng.choice([0.0, rng.uniform(0.02, 0.2)])), np.float32)
    loop = np.concatenate([x, pause])
    wanted = round(seconds * RATE)
    start = rng.integers(len(loop))
    out = np.tile(loop, (wanted + start) // len(loop) + 1)[start : start + wanted]
    fade = min(480, wanted // 2)
    out[:fade] *= np.linspace(0, 1, fade, dtype=np.float32)
    out[wanted - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return out * np.float32(10 ** (rng.uniform(-7, 5) / 20))


def noise(seconds: float, rng, split: str) -> np.ndarray:
    """A noise bed, from nearly silent (-70 dB) to as loud as a quiet event, at times with talk in it."""
    count = round(seconds * RATE)
    kinds = TRAIN_NOISES if split == "train" else TRAIN_NOISES + HELD_OUT_NOISES * 2
    kind = kinds[rng.integers(len(kinds))]
    white = rng.standard_normal(count).astype(np.float32)
    if kind in ("pink", "brown", "wind"):
        spectrum = np.fft.rfft(white)
        f = np.fft.rfftfreq(count, 1 / RATE) + 20
        spectrum /= f ** {"pink": 0.5, "brown": 1.0, "wind": 1.3}[kind]
        white = np.fft.irfft(spectrum, count).astype(np.float32)
        if kind == "wind":
            white *= np.interp(np.linspace(0, 1, count), np.linspace(0, 1, int(seconds) + 2), rng.uniform(0.1, 1, int(seconds) + 2))
    elif kind == "hum":
        t = np.arange(count) / RATE
        base = rng.uniform(45, 130)
        white = sum(np.sin(2 * np.pi * base * k * t + rng.uniform(0, 6)) / k for k in range(1, 7)) + 0.1 * white
    elif kind in ("crackle", "clicks"):
        rate = rng.uniform(5, 60) if kind == "crackle" else rng.uniform(1, 4)
        hits = (rng.random(count) < rate / RATE) * rng.standard_normal(count) * 30
        white = np.convolve(hits, np.exp(-np.arange(200) / rng.uniform(5, 60)))[:count] + 0.2 * white
    level = 0.1 * 10 ** (rng.uniform(-60, -14) / 20)
    bed = white * level / max(np.sqrt((white**2).mean()), 1e-9)
    if rng.random() < 0.2:
        voices = speech(split)
        voice = decode(str(voices[rng.integers(len(voices))]))
        voice = voice * 0.1 * 10 ** (rng.uniform(-16, -2) / 20) / max(np.sqrt((voice**2).mean()), 1e-6)
        at = rng.integers(max(count - len(voice), 1))
        stop = min(count, at + len(voice))
        bed[at:stop] += voice[: stop - at]
    return bed.astype(np.float32)
