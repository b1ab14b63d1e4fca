#!/usr/bin/env python3
"""What `avicuna localize` says of short natural clips, counted: config/clips.toml has the clips, what is right, and queries.

    scripts/clips.py --clips DIR [--avicuna target/release/avicuna] [--model DIR] [--recipe FILE [--split dev|test]]

DIR holds the clips under the names of the recipe; one that is missing or another file is said and left out, and nothing is counted of
none. Needs Python 3.11 alone.
"""

import argparse
import hashlib
import json
import pathlib
import subprocess
import sys
import tomllib

HOME = pathlib.Path(__file__).resolve().parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=pathlib.Path, required=True, help="the folder of the clips")
    parser.add_argument("--recipe", type=pathlib.Path, default=HOME / "config/clips.toml")
    parser.add_argument("--split", help="only the recipe's clips of this split")
    parser.add_argument("--avicuna", default=HOME / "target/release/avicuna", help="the program")
    parser.add_argument("--model", default=HOME / "assets/models/avicuna-natural")
    arguments = parser.parse_args()
    recipe = [
        clip for clip in tomllib.loads(arguments.recipe.read_text())["clip"] if arguments.split in (None, clip.get("split"))
    ]
    clips = [clip for clip in recipe if present(arguments.clips / clip["file"], clip["sha256"])]
    print(f"{len(clips)} of {len(recipe)} clips are there")
    if not clips:
        return 1
    told, named, asked = [], 0, {"happens": [], "absent": []}
    for clip in clips:
        events = localize(arguments, clip, [])
        right = [event["label"] in clip["right"] for event in events]
        told += list(zip(right, (event["score"] for event in events)))
        named += any(right)
        labels = ", ".join(f"{event['label']} {event['score']:.2f}{'' if ok else ' (wrong)'}" for event, ok in zip(events, right))
        print(f"{clip['file']}: {labels or 'nothing'}")
        queries = clip["happens"] + clip["absent"]
        found = {event["label"] for event in localize(arguments, clip, queries)} if queries else set()
        for kind, wanted in (("happens", True), ("absent", False)):
            asked[kind] += [(query in found) == wanted for query in clip[kind]]
            failed = [query for query in clip[kind] if (query in found) != wanted]
            if failed:
                print(f"    {'missed' if wanted else 'invented'}: {', '.join(failed)}")
    print(f"clips of which something is named: {share([True] * named + [False] * (len(clips) - named))}")
    print(f"told events that are right: {share([right for right, _ in told])}, ECE {calibration(told):.3f}")
    print(f"queries found where it happens: {share(asked['happens'])}")
    print(f"queries not found where it does not: {share(asked['absent'])}")
    return 0


def present(path: pathlib.Path, sha256: str) -> bool:
    if not path.is_file():
        print(f"{path} is not there", file=sys.stderr)
        return False
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        print(f"{path} is another file than the recipe's", file=sys.stderr)
        return False
    return True


def localize(arguments: argparse.Namespace, clip: dict, queries: list[str]) -> list[dict]:
    command = [arguments.avicuna, "localize", "--format", "json", "--model", arguments.model]
    for query in queries:
        command += ["--query", query]
    done = subprocess.run([*command, arguments.clips / clip["file"]], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{clip['file']}: {done.stderr.strip()}")
    return json.loads(done.stdout)["events"]


def share(right: list[bool]) -> str:
    return f"{sum(right) / len(right):.3f} ({sum(right)} of {len(right)})" if right else "none"


def calibration(told: list[tuple[bool, float]]) -> float:
    """The expected calibration error in ten bins."""
    error = 0.0
    for low in range(10):
        members = [(right, score) for right, score in told if min(int(score * 10), 9) == low]
        error += abs(sum(right for right, _ in members) - sum(score for _, score in members))
    return error / max(len(told), 1)


if __name__ == "__main__":
    sys.exit(main())
