"""Renders the sound of long time lines as mels, and encodes them once there is an audio encoder.

    python timelines.py render --bank /tmp/seed/bank.npz --out /tmp/seed/tracks --count 450
    python timelines.py encode --tracks /tmp/seed/tracks --encoder audio.onnx --out /tmp/seed/tracks.npz

The labels of a track come from the actors of one of the bank's groups, so that what is heard can also be seen on one backdrop.
"""

import argparse
import json
import time
from multiprocessing import Pool
from pathlib import Path

import numpy as np

import mel
import tracks
import vision
from classes import INDEX, LABELS
from scene import timeline

SECONDS, STEP = 60.0, 0.5


def one(job: tuple[int, int, list[str], Path]) -> None:
    """Writes one track's clips, one per slot of 0.5 s and centred on it, with its events."""
    seed, number, cast, out = job
    rng = np.random.default_rng((seed, number))
    labels = cast * 4 + [LABELS[i] for i in rng.integers(len(LABELS), size=max(len(cast), 1))]
    events = timeline(rng, SECONDS, max(1, round(SECONDS / 20 * rng.uniform(0.5, 2.4))), labels)
    track = tracks.perform(rng, SECONDS, [(INDEX[e.label], e.start, e.end) for e in events], "train")
    starts = ((np.arange(int(SECONDS / STEP)) - 0.5) * STEP * mel.RATE).astype(int)
    x = mel.log_mel(mel.clips(track, starts)).numpy().astype(np.float16)
    told = json.dumps([[e.label, e.start, e.end] for e in events])
    np.savez(out / f"{number:05d}.npz", mel=x, events=told, group=number)


def render(args: argparse.Namespace) -> None:
    bank = np.load(args.bank)
    labels, groups = bank["labels"], bank["groups"]
    count = int(groups.max()) + 1
    args.out.mkdir(parents=True, exist_ok=True)
    cast = [sorted({LABELS[i] for i in labels[groups == g][:, 0] if 0 <= i < len(LABELS)}) for g in range(count)]
    mel.torch.set_num_threads(1)
    began = time.time()
    with Pool(2) as pool:
        jobs = [(args.seed, n, cast[n % count], args.out) for n in range(args.first, args.first + args.count)]
        for done, _ in enumerate(pool.imap(one, jobs), 1):
            if done % 50 == 0:
                print(f"{done} tracks, {time.time() - began:.0f} s", flush=True)


def encode(args: argparse.Namespace) -> None:
    encoder = vision.session(args.encoder)
    embeddings, events, groups = [], [], []
    for path in sorted(args.tracks.glob("*.npz")):
        data = np.load(path)
        embeddings.append(encoder.run(None, {"mel": data["mel"].astype(np.float32)})[0].astype(np.float16))
        events.append(str(data["events"]))
        groups.append(int(data["group"]))
    np.savez(args.out, embeddings=np.stack(embeddings), events=np.array(events), groups=np.array(groups))
    print(f"{len(events)} tracks")


def load(path: Path) -> list[dict]:
    data = np.load(path)
    rows = zip(data["embeddings"], data["events"], data["groups"])
    return [{"embeddings": e, "events": json.loads(str(t)), "group": int(g)} for e, t, g in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one_ = commands.add_parser("render")
    one_.add_argument("--bank", type=Path, required=True)
    one_.add_argument("--out", type=Path, required=True)
    one_.add_argument("--first", type=int, default=0)
    one_.add_argument("--count", type=int, default=450)
    one_.add_argument("--seed", type=int, default=4)
    one_.set_defaults(run=render)
    two = commands.add_parser("encode")
    two.add_argument("--tracks", type=Path, required=True)
    two.add_argument("--encoder", type=Path, required=True)
    two.add_argument("--out", type=Path, required=True)
    two.set_defaults(run=encode)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
