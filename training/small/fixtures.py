"""Writes what the small model's encoders make of a frame and a sound that formulas give, for the tests of other implementations.

    python fixtures.py --model ../../assets/models/avicuna-small --out ../../tests/fixtures/small/encoders.json
"""

import argparse
import json
from pathlib import Path

import numpy as np

import mel
import vision

FRAME = "pixel(x, y, c) = (37 c + 3 x + 5 y + floor(x y / 16)) mod 256 for column x, row y, channel c (red 0, green 1, blue 2), 224 x 224"
SOUND = "sample(i) = 0.5 sin(2 pi (200 t + 2000 t^2)), t = i / 48000, i = 0..47999, in double precision, then float32"
ROWS = (0, 1, 50, 99, 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    y, x, c = np.mgrid[0 : vision.SIZE, 0 : vision.SIZE, 0:3]
    frame = ((37 * c + 3 * x + 5 * y + x * y // 16) % 256).astype(np.uint8)
    seen = vision.encode(vision.session(), frame[None])[0]
    t = np.arange(mel.CLIP) / mel.RATE
    rows = mel.log_mel((0.5 * np.sin(2 * np.pi * (200 * t + 2000 * t**2))).astype(np.float32)[None]).numpy()
    heard = vision.session(args.model / "audio.onnx").run(None, {"mel": rows})[0][0]
    number = lambda values, digits=6: [round(float(v), digits) for v in values]
    top = int(seen[vision.POOLED :].argmax())
    frame_part = {"formula": FRAME, "pooled_first_16": number(seen[:16]), "posterior_top": [top, round(float(seen[vision.POOLED + top]), 6)]}
    sound_part = {"formula": SOUND, "mel_rows": {str(r): number(rows[0, r], 4) for r in ROWS}, "embedding": number(heard)}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"frame": frame_part, "sound": sound_part}, indent=1) + "\n")


if __name__ == "__main__":
    main()
