"""Writes the trained weights of a model directory and fills in the checksums of its manifest.

    python export.py --checkpoint /tmp/seed/run/checkpoint.pt --out ../../assets/models/avicuna-small
"""

import argparse
import hashlib
import os
import re
from pathlib import Path

import torch
from safetensors.torch import save_file

from llm import ALPHA, RANK


def write_weights(out: Path, lora: dict[str, torch.Tensor], adapters: dict[str, torch.Tensor]) -> None:
    """adapters.safetensors and lora.safetensors in half precision, each replaced as a whole; then the manifest's checksums."""
    out.mkdir(parents=True, exist_ok=True)
    meta = {"format": "pt", "rank": str(RANK), "alpha": str(ALPHA)}
    for name, tensors in (("adapters", adapters), ("lora", lora)):
        part = out / f"{name}.part"
        save_file({k: v.to(torch.float16).contiguous() for k, v in tensors.items()}, part, metadata=meta)
        os.replace(part, out / f"{name}.safetensors")
    pin(out)


def pin(out: Path) -> None:
    """Puts the sha256 of every file that lies in the directory behind its name in model.toml."""
    manifest = out / "model.toml"
    if not manifest.exists():
        return
    text = manifest.read_text()

    def checksum(found: re.Match) -> str:
        path = out / found[2]
        return f'{found[1]}{hashlib.sha256(path.read_bytes()).hexdigest()}"' if path.exists() else found[0]

    new = re.sub(r'((?:file = "([^"]+)"\s+)sha256 = ")[0-9a-f]*"', checksum, text)
    part = out / "model.toml.part"
    part.write_text(new)
    os.replace(part, manifest)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    state = torch.load(args.checkpoint, weights_only=False)
    a = state["adapters"]
    adapters = {"vision.weight": torch.cat([a["pooled"], a["posterior"]], 1), "vision.bias": a["vision_bias"]}
    write_weights(args.out, state["lora"], adapters | {"audio.weight": a["audio"], "audio.bias": a["audio_bias"]})


if __name__ == "__main__":
    main()
