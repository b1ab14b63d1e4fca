#!/usr/bin/env python3
"""Learns where in the course of evidence for a sound the sound really is, from scenes with marked beginnings and ends.

    avicuna dataset scenes --natural NATURAL --split train --seed 101 --out SCENES/101          # 102, 103, 104
    avicuna dataset scenes --natural NATURAL --split train --seed 2101 --snr 8 --out SCENES/2101  # 2102, 2103, 2104
    presence.py --ced ~/.cache/avicuna/models/ced-tiny.onnx --out assets/models/avicuna-natural/presence.safetensors SCENES/*

For each question about a scene, also one about what does not happen, the evidence of each half-second is as the model directory's `[[audio.parts]]`
have it: CED's posteriors of the middle three and of all five seconds, the latter every second, their geometric mean, of the classes of the
phrase and its kinds the highest. Two convolutions over it say for each half-second of a window of 20 s how likely the sound is there. What a
phrase is called and how well it is known is hidden from them: they see one course of logits, moved up or down at random. Evidence is kept
beside each scene (`.evidence.npz`), so a second run takes a minute. Needs ffmpeg, numpy, onnxruntime, torch and safetensors; the same
scenes and versions give the same weights.
"""

import argparse
import json
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent.parent
MODEL = ROOT / "assets/models/avicuna-natural"
CLASSES = ROOT / "models/src/vocabulary/audioset.txt"
RATE, SLOT = 16_000, 0.5
# Slots of a window, and of the step to the next one.
WINDOW, HOP = 40, 10
DOUBT = 1e-3
CHANNELS, TAPS, STEPS, BATCH = 16, 11, 4000, 256


class Phrases:
    """The phrases that can be heard, and which are kinds of which."""

    def __init__(self) -> None:
        phrases = tomllib.loads((MODEL / "vocabulary.toml").read_text())["phrase"]
        number = {name: i for i, name in enumerate(line.strip() for line in CLASSES.read_text().splitlines() if line.strip())}
        self.heard = [phrase for phrase in phrases if phrase.get("audioset")]
        self.classes = [[number[name] for name in phrase["audioset"]] for phrase in self.heard]
        self.wider = {phrase["text"]: phrase.get("is") for phrase in phrases}

    def kinds(self, label: str) -> list[int]:
        """The columns of a phrase and its kinds."""

        def is_kind(text: str | None) -> bool:
            return text is not None and (text == label or is_kind(self.wider[text]))

        return [i for i, phrase in enumerate(self.heard) if is_kind(phrase["text"])]


def evidence(film: Path, ced: Path, phrases: Phrases) -> np.ndarray:
    """[slots, phrases]: how sure CED is of each phrase in each half-second of a film."""
    kept = film.with_suffix(".evidence.npz")
    if kept.exists():
        return np.load(kept)["evidence"]
    import onnxruntime

    command = ["ffmpeg", "-v", "error", "-i", film, "-ac", "1", "-ar", str(RATE), "-f", "f32le", "-"]
    sound = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.float32)
    session = onnxruntime.InferenceSession(str(ced))
    count, around = int(len(sound) / RATE / SLOT), np.zeros(5 * RATE, np.float32)
    padded = np.concatenate([around, sound, around])

    def clip(slot: int, seconds: int) -> np.ndarray:
        middle, half = len(around) + int((slot + 0.5) * SLOT * RATE), seconds * RATE // 2
        return padded[middle - half : middle + half]

    def heard(slots: range, seconds: int) -> np.ndarray:
        clips = [clip(slot, seconds)[None] for slot in slots]
        posteriors = np.concatenate([session.run(["posteriors"], {"waveform": one})[0] for one in clips])
        return np.stack([posteriors[:, classes].max(1) for classes in phrases.classes], 1)

    short, long = heard(range(count), 3), heard(range(0, count, 2), 5)
    both = np.sqrt(short * np.repeat(long, 2, 0)[:count])
    np.savez(kept, evidence=both)
    return both


def courses(scenes: list[Path], ced: Path, phrases: Phrases) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Windows of logits, and which part of each slot the sound is there; of all questions about what can only be heard or is not there."""
    for folder in scenes:
        for query in json.loads((folder / "queries.json").read_text()):
            kinds = phrases.kinds(query["label"])
            if not kinds or (query["segments"] and query["modality"] != "audio"):
                continue
            course = evidence(folder / "videos" / f"{query['video']}.mp4", ced, phrases)[:, kinds].max(1)
            times = np.arange(len(course)) * SLOT
            there = np.zeros(len(course))
            for start, end in query["segments"]:
                there += np.clip(np.minimum(end, times + SLOT) - np.maximum(start, times), 0, None) / SLOT
            for first in range(0, len(course) - WINDOW + 1, HOP):
                yield logits(course[first : first + WINDOW]), np.clip(there[first : first + WINDOW], 0, 1).astype(np.float32)


def logits(course: np.ndarray) -> np.ndarray:
    return np.log((course + DOUBT) / (1 - course + DOUBT)).astype(np.float32)


def golden(layers: torch.nn.Sequential, windows: list[np.ndarray]) -> list[dict[str, list[float]]]:
    """What the layers say of some courses, for other implementations."""
    told = []
    for window in windows:
        odds = np.exp(window.astype(np.float64))
        evidence = ((odds * (1 + DOUBT) - DOUBT) / (1 + odds)).round(4)
        with torch.no_grad():
            there = torch.sigmoid(layers(torch.tensor(logits(evidence))[None, None]))[0, 0]
        told.append({"evidence": evidence.tolist(), "there": [round(value, 5) for value in there.tolist()]})
    return told


def train(logits: torch.Tensor, there: torch.Tensor) -> torch.nn.Sequential:
    def convolution(inputs: int, outputs: int) -> torch.nn.Conv1d:
        return torch.nn.Conv1d(inputs, outputs, TAPS, padding=TAPS // 2, padding_mode="replicate")

    torch.manual_seed(1)
    torch.set_num_threads(1)
    layers = torch.nn.Sequential(convolution(1, CHANNELS), torch.nn.ReLU(), convolution(CHANNELS, 1))
    optimizer = torch.optim.AdamW(layers.parameters(), lr=3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for step in range(STEPS):
        chosen = torch.randint(0, len(logits), (BATCH,))
        course = logits[chosen, None]
        course = course + 0.5 * torch.randn(BATCH, 1, 1) + 0.15 * torch.randn_like(course)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(layers(course)[:, 0], there[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 500 == 0:
            print(f"step {step}: loss {loss.item():.4f}", flush=True)
    return layers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="+", type=Path, help="folders of `avicuna dataset scenes`")
    parser.add_argument("--ced", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--golden", type=Path, help="tests/fixtures/natural/presence.json")
    args = parser.parse_args()
    pairs = list(courses(args.scenes, args.ced, Phrases()))
    print(f"{len(pairs)} windows of {len(args.scenes)} sets")
    layers = train(*(torch.tensor(np.stack(one)) for one in zip(*pairs)))
    from safetensors.numpy import save_file

    named = {f"{number}.{part}": getattr(layers[place], part) for number, place in enumerate((0, 2)) for part in ("weight", "bias")}
    save_file({name: value.detach().numpy() for name, value in named.items()}, args.out)
    if args.golden:
        some = sorted((course for course, _ in pairs), key=lambda course: -course.std())[:2000:700]
        args.golden.write_text(json.dumps(golden(layers, some)) + "\n")


if __name__ == "__main__":
    main()
