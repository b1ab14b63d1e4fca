"""Trains the adapters and the LoRA on drawn windows; resumable, and exports as it goes.

    python train.py --bank /tmp/seed/bank.npz --clips /tmp/seed/clips.npz --encoder audio.onnx --out /tmp/seed/run --minutes 55 \
        --export ../../assets/models/avicuna-small
"""

import argparse
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

import adapters as ad
import sequence
import vision
from export import write_weights
from llm import HIDDEN, Llm
from windows import Clips, Sampler, Window
from words import Words

POOLED_RATE, POSTERIOR_RATE, AUDIO_RATE = 0.04, 1.0, 1.0  # learning rates over the LoRA's


def perturb(windows: list[Window], mean: np.ndarray, rng) -> None:
    """Noise on the features; now and then the posterior alone has to say what is seen."""
    for w in windows:
        pooled = w.visual[:, : vision.POOLED]
        pooled *= np.exp(rng.normal(0, 0.15, vision.POOLED)).astype(np.float32)
        pooled *= np.exp(rng.normal(0, 0.1, pooled.shape)).astype(np.float32)
        if rng.random() < 0.1:
            w.visual[:, : vision.POOLED] = mean
            w.visual[:, vision.POOLED :] *= 2
        w.audio += rng.normal(0, 0.02, w.audio.shape).astype(np.float32)


def loss_of(llm: Llm, adapters: ad.Adapters, words: Words, windows: list[Window]) -> torch.Tensor:
    """The mean cross entropy of the answers' tokens."""
    batch = sequence.collate(words, windows)
    visual = adapters.visual(torch.tensor(np.stack([w.visual for w in windows])))
    audio = adapters.auditory(torch.tensor(np.stack([w.audio for w in windows])))
    hidden, _ = llm(sequence.embed(batch, llm.embedding, visual, audio), batch.positions, batch.mask())
    row, column, target = batch.targets
    return F.cross_entropy(llm.logits(hidden[row, column]), target)


def groups_of(llm: Llm, adapters: ad.Adapters) -> list[dict]:
    lora = [p for p in llm.parameters() if p.requires_grad]
    audio = [adapters.audio, adapters.audio_bias, adapters.vision_bias]
    rates = ((lora, 1.0), ([adapters.pooled], POOLED_RATE), ([adapters.posterior], POSTERIOR_RATE), (audio, AUDIO_RATE))
    return [{"params": params, "share": share} for params, share in rates]


def encoded(clips: Path, encoder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings and class activity of all clips."""
    data, ears = np.load(clips), vision.session(encoder)
    mels = data["mel"]
    parts = [ears.run(None, {"mel": mels[i : i + 512].astype(np.float32)})[0] for i in range(0, len(mels), 512)]
    return np.concatenate(parts), data["activity"]


def save(path: Path, state: dict) -> None:
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("bank", "clips", "encoder", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--export", type=Path, help="model directory to write the weights to every few minutes")
    parser.add_argument("--minutes", type=float, default=55, help="the learning rate falls to nothing over these; interruptions do not count")
    parser.add_argument("--batch", type=int, default=3, help="windows a step")
    parser.add_argument("--lr", type=float, default=6e-4)
    parser.add_argument("--every", type=float, default=5, help="minutes between checkpoints")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--start", type=Path, help="model directory to go on from, with a fresh optimizer; it must have the same audio encoder")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    args = parser.parse_args()
    torch.set_num_threads(2)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    words, llm = Words(), Llm()
    bank, (embeddings, activity) = dict(np.load(args.bank)), encoded(args.clips, args.encoder)
    sampler, mean = Sampler(bank, Clips(embeddings, activity)), bank["features"][:, : vision.POOLED].astype(np.float32).mean(0)
    adapters = ad.Adapters(HIDDEN, embeddings.shape[1])
    optimizer = torch.optim.AdamW(groups_of(llm, adapters), lr=0.0, betas=(0.9, 0.98), weight_decay=0.0)
    checkpoint, step, spent = args.out / "checkpoint.pt", 0, 0.0
    if args.resume and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=False)
        llm.load_lora(state["lora"])
        adapters.load_state_dict(state["adapters"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["spent"]
        rng.bit_generator.state = state["rng"]
    elif args.start:
        llm.load_lora({k: v.float() for k, v in load_file(args.start / "lora.safetensors").items()})
        adapters.load_tensors(load_file(args.start / "adapters.safetensors"))
    else:
        ad.start(adapters, ad.Targets(words, llm.embedding), bank, (embeddings, activity))

    def draw() -> list[Window]:
        windows = [sampler.draw(rng) for _ in range(args.batch)]
        perturb(windows, mean, rng)
        return windows

    log, pool = open(args.out / "log.jsonl", "a"), ThreadPoolExecutor(1)
    coming, saved = pool.submit(draw), spent
    progress = 0.0
    while progress < 1:
        began = time.time()
        windows = coming.result()
        state_of_rng, coming = rng.bit_generator.state, pool.submit(draw)
        progress = min(spent / (60 * args.minutes), 1.0)
        rate = args.lr * min((step + 1) / 25, 0.02 + 0.98 * (0.5 + 0.5 * np.cos(np.pi * progress)))
        for group in optimizer.param_groups:
            group["lr"] = rate * group["share"]
        loss = loss_of(llm, adapters, words, windows)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], 1.0)
        if not torch.isfinite(loss):
            raise SystemExit(f"the loss of step {step} is {loss.item()}; resume from the last checkpoint with a smaller --lr")
        optimizer.step()
        step, spent = step + 1, spent + time.time() - began
        entry = {"step": step, "seconds": round(spent, 1), "loss": round(loss.item(), 4), "norm": round(norm.item(), 3), "lr": rate}
        print(json.dumps(entry), file=log, flush=True)
        if spent - saved > 60 * args.every or progress >= 1:
            saved = spent
            state = {"lora": llm.lora(), "adapters": adapters.state_dict(), "optimizer": optimizer.state_dict()}
            save(checkpoint, state | {"step": step, "spent": spent, "rng": state_of_rng})
            if args.export:
                write_weights(args.export, llm.lora(), adapters.tensors())


if __name__ == "__main__":
    main()
