"""Renders the clips the audio encoder is trained and tested on.

    python audio_data.py --out /tmp/small/clips.npz --tracks 400
    python audio_data.py --out /tmp/small/clips_test.npz --tracks 60 --split test --seed 900001
"""

import argparse
import time
from multiprocessing import Pool
from pathlib import Path

import numpy as np

import mel
import tracks

SECONDS = 30.0


def one(job: tuple[int, int, str]) -> tuple[np.ndarray, np.ndarray]:
    """Mels (float16) and class activity of one track's clips, which overlap by half."""
    seed, number, split = job
    rng = np.random.default_rng((seed, number))
    events = tracks.dense(rng, SECONDS)
    track = tracks.perform(rng, SECONDS, events, split)
    starts = np.arange(rng.uniform(0, 0.5), SECONDS - 1, 0.5)
    x = mel.log_mel(mel.clips(track, (starts * mel.RATE).astype(int)))
    return x.numpy().astype(np.float16), tracks.activity(events, starts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tracks", type=int, default=400)
    parser.add_argument("--split", default="train", choices=("train", "test"))
    parser.add_argument("--seed", type=int, default=2)
    args = parser.parse_args()
    mel.torch.set_num_threads(1)
    began, mels, labels = time.time(), [], []
    with Pool(2) as pool:
        for done, (x, y) in enumerate(pool.imap(one, [(args.seed, i, args.split) for i in range(args.tracks)]), 1):
            mels.append(x)
            labels.append(y)
            if done % 100 == 0:
                print(f"{done} tracks, {time.time() - began:.0f} s", flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(args.out, mel=np.concatenate(mels), activity=np.concatenate(labels))


if __name__ == "__main__":
    main()
