"""Builds the bank of encoded frames that training draws its visual time lines from.

    python bank.py --out /tmp/seed/bank.npz --groups 450

A group is one backdrop: frames of it with nothing on it, with each of a handful of actors, and with two of them at once. Every frame
goes through JPEG and one of several scalers, as a decoded video would be, and is encoded once.
"""

import argparse
import io
import re
import time
from pathlib import Path

import numpy as np
from PIL import Image

import vision
from classes import CLASSES, LABELS, STAMPS
from picture import Actor, Backdrop

EMPTY, ACTORS, PER_ACTOR, PAIRS, PER_PAIR = 6, 6, 6, 2, 4
EXTRA_SHARE = 0.12  # of the actors show a thing that is no class, so that labels stay words and do not become a list

# Names of what a class could also be called, or is too like.
NEAR = set("cat chicken peahen ram bull doe drake dromedary rat dingo hornet fly gander wapiti caribou mountaingoat zebu yak".split())


def extras() -> list[tuple[str, str]]:
    """(label, picture) of things that are no class: stamps described as "A hedgehog." and not called like any class."""
    taken = {word for label in LABELS for word in label.split()[1:]} - {"black", "fire"} | NEAR
    held = {p for c in CLASSES for p in c.train_pictures + c.test_pictures}
    found = {}
    for folder in ("animals", "vehicles", "household", "hobbies"):
        for text in sorted((STAMPS / folder).rglob("*.txt")):
            words = text.read_text(errors="replace").splitlines()[0]
            picture = text.with_suffix(".png")
            said = re.fullmatch(r"(An?) (\w+(?: \w+)?)\.", words)
            if said and picture.exists() and str(picture.relative_to(STAMPS)) not in held and not taken & set(said[2].lower().split()):
                found.setdefault(f"{said[1].lower()} {said[2].lower()}", str(picture.relative_to(STAMPS)))
    return sorted(found.items())


def decoded(picture: Image.Image, rng) -> np.ndarray:
    """What is left of a picture after a lossy codec and scaling to the encoder's size."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=int(rng.integers(25, 92)))
    return vision.shrink(Image.open(file).convert("RGB"), rng)


def group(rng, names: list[str], pictures: list[str]) -> tuple[list[np.ndarray], list[tuple[int, int, int]]]:
    """Frames of one backdrop and, for each, the two labels in it (-1: none) and the number of the actor."""
    backdrop, frames, what = Backdrop(rng, "train"), [], []

    def take(t: float, actors: list[int]) -> None:
        picture = backdrop.at(t)
        for actor in actors:
            cast[actor].draw(picture, t)
        frames.append(decoded(picture, rng))
        labels = [chosen[a] for a in actors] + [-1, -1]
        what.append((labels[0], labels[1], actors[0] if len(actors) == 1 else -1))

    chosen = [int(rng.integers(len(LABELS), len(names))) if rng.random() < EXTRA_SHARE else int(rng.integers(len(LABELS))) for _ in range(ACTORS)]
    cast = [Actor(pictures[i], rng) for i in chosen]
    for t in np.sort(rng.uniform(0, 60, EMPTY)):
        take(t, [])
    for actor in range(ACTORS):
        for t in np.sort(rng.uniform(0, 8, PER_ACTOR) + rng.uniform(0, 50)):
            take(t, [actor])
    for _ in range(PAIRS):
        a, b = rng.choice(ACTORS, 2, replace=False)
        for t in np.sort(rng.uniform(0, 60, PER_PAIR)):
            take(t, [int(a), int(b)])
    return frames, what


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--groups", type=int, default=450)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    more = extras()
    names = list(LABELS) + [label for label, _ in more]
    pictures = [c.train_pictures[0] for c in CLASSES] + [picture for _, picture in more]
    encoder, began = vision.session(), time.time()
    features, labels, groups = [], [], []
    for number in range(args.groups):
        frames, what = group(np.random.default_rng((args.seed, number)), names, pictures)
        features.append(vision.encode(encoder, np.stack(frames)).astype(np.float16))
        labels += what
        groups += [number] * len(what)
        if number % 50 == 49:
            print(f"{number + 1} groups, {time.time() - began:.0f} s", flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    arrays = {"features": np.concatenate(features), "labels": np.array(labels, np.int16), "groups": np.array(groups, np.int32)}
    np.savez(args.out, names=np.array(names), **arrays)


if __name__ == "__main__":
    main()
