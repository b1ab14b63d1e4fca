"""Measures a model directory on held-out scenes, rendered to video and decoded back.

    python evaluate.py --model ../../assets/models/avicuna-small --scenes 12 --work /tmp/seed/eval --json /tmp/seed/eval.json
    python evaluate.py --model ../../assets/models/avicuna-small --video ../../assets/demo/scene

Windows of 20 s follow one another without overlap; the truth is cut at their edges, and what is left of an event under half a second
is not counted. A detection's score is the mean probability of its sentence's tokens.
"""

import argparse
import json
import re
import subprocess
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

import mel
import render_scene
import scores
import vision
from adapters import Adapters
from classes import LABELS
from generate import answers
from llm import HIDDEN, Linears, Llm
from windows import STEP, Happening, ground_answer
from words import ABSENT, DETECT, GROUND, SECONDS, SLOTS, Words

FIRST_SEED = 910_000
INTERVAL = re.compile(r"(\d\d) to (\d\d)(?:, (?!seen|heard|and from)([^,.]+))?(?:, (seen and heard|seen|heard))?")


class Model:
    def __init__(self, path: Path):
        tensors = load_file(path / "adapters.safetensors")
        self.words, self.llm = Words(), Llm()
        self.llm.load_lora({k: v.float() for k, v in load_file(path / "lora.safetensors").items()})
        for part in self.llm.modules():
            if isinstance(part, Linears):
                part.merge()
        self.adapters = Adapters(HIDDEN, tensors["audio.weight"].shape[1])
        self.adapters.load_tensors(tensors)
        self.eyes, self.ears = vision.session(), vision.session(path / "audio.onnx")

    def encode(self, video: Path) -> tuple[np.ndarray, np.ndarray]:
        """Features of the frame at, and embeddings of the clip around, every slot of a file."""
        scale = ["-vf", f"scale={vision.SIZE}:{vision.SIZE}", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
        raw = subprocess.run(["ffmpeg", "-v", "error", "-i", video, *scale], capture_output=True, check=True).stdout
        frames = np.frombuffer(raw, np.uint8).reshape(-1, vision.SIZE, vision.SIZE, 3)
        pcm = ["-ac", "1", "-ar", str(mel.RATE), "-f", "f32le", "-"]
        sound = np.frombuffer(subprocess.run(["ffmpeg", "-v", "error", "-i", video, *pcm], capture_output=True, check=True).stdout, np.float32)
        slots = int(round(len(sound) / mel.RATE / STEP))
        rate = len(frames) / (len(sound) / mel.RATE)
        at = np.minimum((np.arange(slots) * STEP * round(rate)).astype(int), len(frames) - 1)
        starts = ((np.arange(slots) - 0.5) * STEP * mel.RATE).astype(int)
        clips = mel.log_mel(mel.clips(sound, starts)).numpy()
        return vision.encode(self.eyes, frames[at]), self.ears.run(None, {"mel": clips})[0]

    def ask(self, seen: np.ndarray, heard: np.ndarray, asked: list[str], senses: str) -> list[tuple[str, list[float]]]:
        has = np.ones(SLOTS, bool)
        found = answers(self.llm, self.adapters, self.words, seen, heard, has & (senses != "audio"), has & (senses != "visual"), asked)
        return [(self.words.text(ids), logprobs) for ids, logprobs in found]


def segments(text: str) -> list[tuple[float, float, str, str]]:
    """(start, end, label, sense) of every interval in an answer; seconds."""
    out = []
    for start, end, label, sense in INTERVAL.findall(text):
        a, b = int(start) * SECONDS / 100, (100 if end == "99" else int(end)) * SECONDS / 100
        if b > a:
            out.append((a, b, label.strip(), sense))
    return out


def truth_of(events: list[dict], begin: float, senses: str) -> list[Happening]:
    out = []
    for e in events:
        seen, heard = e["modality"] != "audio" and senses != "audio", e["modality"] != "visual" and senses != "visual"
        happening = Happening(e["label"], e["start"] - begin, e["end"] - begin, seen, heard)
        if (seen or heard) and happening.length >= 0.5:
            out.append(happening)
    return sorted(out, key=lambda e: e.start)


class Tally:
    def __init__(self):
        self.ious, self.absent, self.sense, self.f1 = [], [], [], {t: [0, 0, 0] for t in (0.3, 0.5, 0.7)}
        self.found, self.truth, self.by_sense = defaultdict(list), defaultdict(lambda: defaultdict(list)), defaultdict(lambda: [0, 0, 0])

    def ground(self, text: str, truth: list[Happening]) -> None:
        if not truth:
            self.absent.append(not segments(text))
            return
        found, spans = segments(text), [e.span for e in truth]
        self.ious.append(scores.union_iou([s[:2] for s in found], spans, SECONDS))
        for threshold, counts in self.f1.items():
            pairs = scores.matches([s[:2] for s in found], spans, threshold)
            counts[0], counts[1], counts[2] = counts[0] + len(pairs), counts[1] + len(found), counts[2] + len(spans)
            if threshold == 0.5:
                self.sense += [found[i][3] == truth[j].sense for i, j in pairs]
                for i, t in enumerate(truth):
                    row = self.by_sense[t.sense]
                    row[0], row[2] = row[0] + any(j == i for _, j in pairs), row[2] + 1
                for s in found:
                    self.by_sense[s[3] or "none"][1] += 1

    def detect(self, window: int, text: str, logprobs: list[float], truth: list[Happening]) -> None:
        sentences = [s for s in text.split(". ") if s]
        score = float(np.exp(np.mean(logprobs))) if logprobs else 0.0
        for order, sentence in enumerate(sentences):
            for start, end, label, _ in segments(sentence):
                self.found[label].append((score - 1e-3 * order, window, (start, end)))
        for e in truth:
            self.truth[e.label][window].append(e.span)

    def json(self) -> dict:
        share = lambda values: round(float(np.mean(values)), 4) if values else None
        f1 = {str(t): round(2 * c[0] / max(c[1] + c[2], 1), 4) for t, c in self.f1.items()}
        sense = {k: {"f1": round(2 * c[0] / max(c[1] + c[2], 1), 4), "recall": round(c[0] / max(c[2], 1), 4)} for k, c in self.by_sense.items()}
        ground = {"queries": len(self.ious), "union_miou": share(self.ious), "f1": f1, "sense_accuracy": share(self.sense), "by_sense": sense}
        ground |= {"absent_queries": len(self.absent), "absence_accuracy": share(self.absent)}
        unknown = sum(len(v) for k, v in self.found.items() if k not in self.truth)
        detect = scores.mean_average_precision(self.found, self.truth) | {"detections_of_other_labels": unknown}
        return {"ground": ground, "detect": {k: round(v, 4) for k, v in detect.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=12, help="held-out scenes of 60 s")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="of the first scene; training uses none from 900,000 on")
    parser.add_argument("--work", type=Path, default=Path("/tmp/seed/eval"))
    parser.add_argument("--video", type=Path, help="one scene instead, path without suffix; prints every answer")
    parser.add_argument("--senses", default="both", choices=("both", "audio", "visual"))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(2)
    model, tally, rng, began = Model(args.model), Tally(), np.random.default_rng(args.seed), time.time()
    for number in range(1 if args.video else args.scenes):
        path = args.video or args.work / str(args.seed + number)
        if not path.with_name(path.name + ".mp4").exists():
            render_scene.write(render_scene.random_scene(args.seed + number - 900_100, 60.0), path)
        truth = json.loads(path.with_name(path.name + ".json").read_text())
        seen, heard = model.encode(path.with_name(path.name + ".mp4"))
        for first in range(0, len(seen) - SLOTS + 1, SLOTS):
            begin, window = first * STEP, number * 1000 + first
            happening = truth_of(truth["events"], begin, args.senses)
            labels = sorted({e.label for e in happening})
            touched = {e["label"] for e in truth["events"] if e["start"] < begin + SECONDS and e["end"] > begin}
            absent = [x for x in LABELS if x not in touched]
            asked = labels + [str(x) for x in rng.choice(absent, max(len(labels), 1), replace=False)]
            part = slice(first, first + SLOTS)
            texts = model.ask(seen[part], heard[part], [DETECT] + [GROUND.format(event=x) for x in asked], args.senses)
            tally.detect(window, *texts[0], happening)
            for label, (text, _) in zip(asked, texts[1:]):
                tally.ground(text, [e for e in happening if e.label == label])
            if args.video:
                print(f"{begin:.0f} s: {texts[0][0]}")
                for label, (text, _) in zip(asked, texts[1:]):
                    print(f"    {label}: {text}    truth: {ground_answer([e for e in happening if e.label == label]) if label in labels else ABSENT}")
    result = tally.json() | {"seconds": round(time.time() - began, 1)}
    print(json.dumps(result, indent=2))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
