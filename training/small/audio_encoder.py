"""The audio encoder: a small CNN over one second of log-mel, trained to name the class sounds in noise, and its ONNX export.

    python audio_encoder.py train --clips /tmp/small/clips.npz --test /tmp/small/clips_test.npz --out /tmp/small/audio.pt
    python audio_encoder.py export --weights /tmp/small/audio.pt --out audio.onnx

The embedding is L2-normalised; the cosine classifier it was trained with is thrown away at export. Targets are the share of the clip a
class sounds for, so that an embedding also says how far into the clip an event reaches.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional as F

import mel
from classes import LABELS

DIM = 128


class Block(nn.Module):
    """A convolution along time, as one matrix product, with batch norm and ReLU: [B, T, inputs] -> [B, T / 2, outputs]."""

    def __init__(self, inputs: int, outputs: int, kernel: int):
        super().__init__()
        self.kernel, self.linear, self.norm = kernel, nn.Linear(inputs * kernel, outputs, bias=False), nn.BatchNorm1d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.pad(x, (0, 0, self.kernel // 2, self.kernel // 2))
        count = (x.shape[1] - self.kernel) // 2 + 1
        x = torch.cat([x[:, i : i + 2 * count - 1 : 2] for i in range(self.kernel)], 2)
        x = self.linear(x)
        return F.relu(self.norm(x.flatten(0, 1))).unflatten(0, (-1, count))


class AudioEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        widths, kernels = [mel.BINS, 160, 224, 288, 320], [5, 5, 3, 3]
        self.blocks = nn.Sequential(*(Block(a, b, k) for a, b, k in zip(widths, widths[1:], kernels)))
        self.project = nn.Linear(2 * widths[-1], DIM)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 101, 64] log-mel in dB -> [B, 128], each of length 1."""
        x = self.blocks((x + 40) / 30)
        return F.normalize(self.project(torch.cat([x.mean(1), x.amax(1)], 1)), dim=1)


class Tagger(nn.Module):
    """The encoder with the cosine classifier that is trained along with it."""

    def __init__(self):
        super().__init__()
        self.encoder = AudioEncoder()
        self.classes = nn.Parameter(torch.randn(len(LABELS), DIM))
        self.scale, self.bias = nn.Parameter(torch.tensor(12.0)), nn.Parameter(torch.full((len(LABELS),), -6.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * self.encoder(x) @ F.normalize(self.classes, dim=1).T + self.bias


def augment(x: torch.Tensor, y: torch.Tensor, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Level, tone, noise floor, masks in time and frequency, and mixing of two clips' power (both sets of labels then hold)."""
    n = len(x)
    draw = lambda low, high, *shape: torch.tensor(rng.uniform(low, high, shape), dtype=torch.float32)
    other = torch.tensor(rng.permutation(n))
    mix = (draw(0, 1, n) < 0.25)[:, None, None]
    louder = 10 * torch.log10(10 ** (x / 10) + 10 ** (x[other] / 10))
    x, y = torch.where(mix, louder, x), torch.where(mix[:, 0], torch.maximum(y, y[other]), y)
    tone = F.interpolate(draw(-4, 4, n, 1, 5), mel.BINS, mode="linear", align_corners=True)
    x = x + draw(-6, 6, n, 1, 1) + tone
    x = torch.maximum(x, draw(-100, -55, n, 1, 1))
    low, width = draw(0, mel.BINS, n, 1, 1), draw(0, 10, n, 1, 1)
    bins = torch.arange(mel.BINS)[None, None]
    return x.masked_fill((bins >= low) & (bins < low + width), -60.0), y


def average_precision(score: np.ndarray, truth: np.ndarray) -> float:
    order = np.argsort(-score, kind="stable")
    hits = truth[order].astype(float)
    return float((hits * np.cumsum(hits) / np.arange(1, len(hits) + 1)).sum() / max(hits.sum(), 1))


@torch.no_grad()
def test(tagger: Tagger, path: Path) -> dict[str, float]:
    """Per-clip scores on held-out noise: a class counts as there from half of the clip on."""
    data = np.load(path)
    tagger.eval()
    x = torch.tensor(data["mel"], dtype=torch.float32)
    p = torch.cat([torch.sigmoid(tagger(part)) for part in x.split(256)]).numpy()
    truth, found = data["activity"] >= 0.5, p >= 0.5
    tagger.train()
    right = (truth & found).sum()
    precision, recall = right / max(found.sum(), 1), right / max(truth.sum(), 1)
    per_class = [average_precision(p[:, c], truth[:, c]) for c in range(len(LABELS)) if truth[:, c].any()]
    f1 = float(2 * precision * recall / max(precision + recall, 1e-9))
    return {"f1": f1, "precision": float(precision), "recall": float(recall), "map": float(np.mean(per_class))}


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    torch.set_num_threads(2)
    rng = np.random.default_rng(args.seed)
    data = np.load(args.clips)
    count = int(args.share * len(data["mel"]))
    mels, activity = data["mel"][:count], data["activity"][:count]
    tagger, batch = Tagger(), 128
    optimizer = torch.optim.AdamW(tagger.parameters(), lr=0.0, weight_decay=0.02)
    step, losses = 0, []
    while step < args.steps:
        for chosen in np.array_split(rng.permutation(len(mels)), len(mels) // batch):
            if step == args.steps:
                break
            rate = args.lr * min((step + 1) / 40, 0.02 + 0.5 + 0.5 * np.cos(np.pi * step / args.steps))
            for g in optimizer.param_groups:
                g["lr"] = rate
            x, y = augment(torch.tensor(mels[chosen], dtype=torch.float32), torch.tensor(activity[chosen]), rng)
            loss = F.binary_cross_entropy_with_logits(tagger(x), y, reduction="none").sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            step += 1
            if step % 50 == 0:
                print(f"step {step}, loss {np.mean(losses[-50:]):.3f}", flush=True)
        print(json.dumps({"step": step, **test(tagger, args.test)}), flush=True)
        torch.save(tagger.state_dict(), args.out)


def export(args: argparse.Namespace) -> None:
    tagger = Tagger()
    tagger.load_state_dict(torch.load(args.weights, weights_only=True))
    example = torch.zeros(2, mel.FRAMES, mel.BINS)
    encoder = tagger.encoder.eval()
    shape = {"mel": {0: "batch"}, "embedding": {0: "batch"}}
    names = {"input_names": ["mel"], "output_names": ["embedding"], "dynamic_axes": shape}
    torch.onnx.export(encoder, (example,), str(args.out), opset_version=17, dynamo=False, **names)
    onnx.checker.check_model(onnx.load(args.out), full_check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("train")
    one.add_argument("--clips", type=Path, required=True)
    one.add_argument("--test", type=Path, required=True)
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--steps", type=int, default=1500)
    one.add_argument("--share", type=float, default=0.75, help="of the clips; the LLM is trained on the embeddings of all")
    one.add_argument("--lr", type=float, default=3e-3)
    one.add_argument("--seed", type=int, default=3)
    one.set_defaults(run=train)
    two = commands.add_parser("export")
    two.add_argument("--weights", type=Path, required=True)
    two.add_argument("--out", type=Path, required=True)
    two.set_defaults(run=export)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
