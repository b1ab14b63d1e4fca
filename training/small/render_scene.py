"""Renders a scene to MP4 (H.264, AAC 48 kHz) with its ground truth in JSON.

    python render_scene.py --out ../../assets/demo/scene        # the demo scene
    python render_scene.py --random 7 --duration 60 --out /tmp/s7
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

import sound
from classes import LABELS
from picture import HEIGHT, WIDTH
from scene import Event, Scene, timeline

DEMO_SEED = 900_001  # seeds from 900,000 are never used in training
DEMO = [
    Event("a dog", 4.0, 11.0, "both"),
    Event("a fire truck", 15.0, 23.0, "audio"),
    Event("an elephant", 20.5, 29.0, "visual"),
    Event("a rooster", 33.0, 40.0, "both"),
    Event("a violin", 44.0, 50.0, "audio"),
    Event("a zebra", 52.0, 58.0, "both"),
]


def write(scene: Scene, out: Path, fps: int = 25, crf: int = 26) -> None:
    """Writes OUT.mp4 and OUT.json."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(suffix=".f32") as pcm:
        scene.audio().astype("<f4").tofile(pcm.name)
        command = ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(fps), "-i", "-"]
        command += ["-f", "f32le", "-ar", str(sound.RATE), "-ac", "1", "-i", pcm.name]
        command += ["-c:v", "libx264", "-preset", "fast", "-crf", str(crf), "-pix_fmt", "yuv420p", "-g", str(2 * fps), "-bf", "0"]
        command += ["-c:a", "aac", "-b:a", "96k", "-movflags", "+faststart", "-t", str(scene.duration), f"{out}.mp4"]
        encoder = subprocess.Popen(command, stdin=subprocess.PIPE)
        for i in range(round(scene.duration * fps)):
            encoder.stdin.write(np.asarray(scene.frame(i / fps)).tobytes())
        encoder.stdin.close()
        if encoder.wait() != 0:
            raise SystemExit("ffmpeg failed")
    truth = {"duration": scene.duration, "events": [e.json() for e in scene.events]}
    Path(f"{out}.json").write_text(json.dumps(truth, indent=2) + "\n")


def random_scene(seed: int, duration: float, split: str = "test") -> Scene:
    rng = np.random.default_rng(seed)
    return Scene(timeline(rng, duration, max(1, round(duration / 20 * rng.uniform(1.2, 2.6))), list(LABELS)), duration, seed, split)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="path without suffix")
    parser.add_argument("--random", type=int, help="a random test scene of this seed instead of the demo")
    parser.add_argument("--duration", type=float, default=60.0, help="seconds")
    parser.add_argument("--fps", type=int, default=25)
    args = parser.parse_args()
    scene = Scene(DEMO, 60.0, DEMO_SEED, "test") if args.random is None else random_scene(900_100 + args.random, args.duration)
    write(scene, args.out, args.fps)


if __name__ == "__main__":
    main()
