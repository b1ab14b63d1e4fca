#!/usr/bin/env python3
"""Tries scripts/train_parallel.py on a tiny random Llama: one process, two processes, an interruption, and samples that are wrong.

    ~/.cache/avicuna/venv-peft/bin/python scripts/check_parallel.py [--device cuda] [--shard] [--processes 2]

Everything must equal a plain loop over single sequences without padding. On GPUs (one for each process), and with `--shard` where torch
can shard on CPUs (2.15 can, Debian's cannot), the base is cut up between the processes. Half a minute.
"""

import argparse
import dataclasses
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

import train_parallel
from parallel_samples import PLACES, Stage

HIDDEN, VOCABULARY = 32, 64
DIMS = {"visual": 12, "audio": 8}
LENGTHS = [9, 17, 5, 12, 30, 3, 21, 8, 14]
EACH, EPOCHS = 4, 2
LR = 2e-3
# Of six steps with a warm-up of 0.3 and a cosine down to 0.1.
SHARES = [0.5, 1.0, 1.0, 0.868198, 0.55, 0.231802]
CLOSE = 1e-5


def make_stage(folder: Path, dropout: float) -> None:
    stage = {
        "stage": 4, "seed": 7, "epochs": EPOCHS, "batch": 2, "accumulation": 2, "lr": LR, "schedule": "cosine", "warm_up": 0.3, "floor": 0.1,
        "clip": 1.0, "weight_decay": 0.01, "betas": [0.9, 0.999], "lora": {"r": 4, "alpha": 8.0, "dropout": dropout}, "hidden": HIDDEN, "layers": 2,
        "vocabulary": VOCABULARY, "merged": 1, **DIMS,
        "adapters": "adapters.safetensors", "steps": len(SHARES),
    }  # fmt: skip
    (folder / "stage.json").write_text(json.dumps(stage))


def make_samples(folder: Path) -> None:
    folder.mkdir()
    make_stage(folder, 0.0)
    draw = np.random.default_rng(3)
    adapters = {f"{sense}.weight": torch.from_numpy(draw.normal(0, 0.2, (HIDDEN, dim)).astype(np.float32)) for sense, dim in DIMS.items()}
    save_file(adapters | {f"{sense}.bias": torch.full((HIDDEN,), 0.1) for sense in DIMS}, folder / "adapters.safetensors")
    for epoch in range(EPOCHS):
        lines = []
        counts = dict.fromkeys(DIMS, 0)
        for index in range(len(LENGTHS)):
            length = LENGTHS[(index + epoch) % len(LENGTHS)]
            tokens = draw.integers(0, VOCABULARY, length)
            # The sequence of three is text alone.
            for sense, share in (("visual", 0.3), ("audio", 0.2)) if length > 3 else ():
                tokens[draw.random(length) < share] = PLACES[sense]
            tokens[-2:] = draw.integers(0, VOCABULARY, 2)
            labels = np.where((tokens < 0) | (draw.random(length) < 0.4), -100, tokens)
            labels[0], labels[-1] = -100, tokens[-1]
            for sense, mark in PLACES.items():
                counts[sense] += int((tokens == mark).sum())
            step = epoch * -(-len(LENGTHS) // EACH) + index // EACH
            lines.append(json.dumps({"id": f"s{index}", "step": step, "tokens": tokens.tolist(), "labels": labels.tolist()}) + "\n")
        (folder / f"epoch-{epoch}.jsonl").write_text("".join(lines))
        for sense, dtype in (("visual", np.float32), ("audio", np.float16)):
            np.save(folder / f"epoch-{epoch}.{sense}.npy", draw.normal(0, 1, (counts[sense], DIMS[sense])).astype(dtype))


def make_models(base: Path, earlier: Path) -> None:
    torch.manual_seed(1)
    # Weights so large that logits differ: of even ones every gradient is next to nothing.
    shape = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=HIDDEN, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        initializer_range=0.2, max_position_embeddings=64,
    )  # fmt: skip
    LlamaForCausalLM(shape).save_pretrained(base)
    settings = LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "up_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    get_peft_model(LlamaForCausalLM.from_pretrained(base), settings).save_pretrained(earlier)


def make_start(folder: Path, base: Path, earlier: Path) -> None:
    """The LoRA that is trained, as the export would have it."""
    merged = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(base), str(earlier)).merge_and_unload()
    model = fresh(merged)
    start = {name.replace(".default.", "."): parameter.detach() for name, parameter in model.named_parameters() if parameter.requires_grad}
    folder.mkdir()
    save_file(start, folder / "adapter_model.safetensors")


def fresh(merged: LlamaForCausalLM) -> PeftModel:
    torch.manual_seed(7)
    return get_peft_model(merged, LoraConfig(r=4, lora_alpha=8, target_modules=train_parallel.TARGETS, task_type="CAUSAL_LM"))


def plain(samples: Path, base: Path, earlier: Path) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Losses and LoRA of the whole stage: one sequence at a time, with transformers' own loss and torch's own clipping."""
    merged = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(base), str(earlier)).merge_and_unload()
    model = fresh(merged)
    learning = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    optimizer = torch.optim.AdamW(learning.values(), lr=LR, weight_decay=0.01)
    adapters = load_file(samples / "adapters.safetensors")
    steps: list[list[tuple[torch.Tensor, torch.Tensor]]] = [[] for _ in SHARES]
    for epoch in range(EPOCHS):
        rows = {mark: iter(np.load(samples / f"epoch-{epoch}.{sense}.npy")) for sense, mark in PLACES.items()}
        senses = {mark: sense for sense, mark in PLACES.items()}
        for line in (samples / f"epoch-{epoch}.jsonl").read_text().splitlines():
            sample = json.loads(line)
            embedded = []
            for token in sample["tokens"]:
                if token >= 0:
                    embedded.append(merged.model.embed_tokens.weight[token].detach())
                else:
                    row = torch.from_numpy(next(rows[token]).astype(np.float32))
                    embedded.append(adapters[f"{senses[token]}.weight"] @ row + adapters[f"{senses[token]}.bias"])
            steps[sample["step"]].append((torch.stack(embedded), torch.tensor(sample["labels"])))
    losses = []
    for step, share in zip(steps, SHARES):
        of = sum(int((labels != -100).sum()) for _, labels in step)
        optimizer.zero_grad()
        losses.append(0.0)
        for embedded, labels in step:
            loss = model(inputs_embeds=embedded[None], labels=labels[None]).loss * ((labels != -100).sum() / of)
            loss.backward()
            losses[-1] += loss.item()
        torch.nn.utils.clip_grad_norm_(learning.values(), 1.0)
        optimizer.param_groups[0]["lr"] = LR * share
        optimizer.step()
    return losses, {name.replace(".default", ""): parameter.detach() for name, parameter in learning.items()}


class Runs:
    """Runs of the stage in one folder."""

    def __init__(self, folder: Path, extra: list[str]) -> None:
        self.folder = folder
        self.extra = extra

    def arguments(self, out: str, *more: str) -> list[str]:
        base, earlier = self.folder / "base", self.folder / "earlier"
        return [*map(str, (self.folder / "samples", "--base", base, "--merge", earlier, "--out", self.folder / out)), *self.extra, *more]

    def alone(self, out: str, *more: str) -> None:
        train_parallel.main(self.arguments(out, "--no-shard", *more))

    def together(self, processes: int, out: str, *more: str) -> None:
        # Debian's torch does not understand its own default for the output under its Python; of a tenth process there is none to redirect.
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--redirects", "9:1", "--tee", "9:1"]
        command += ["--nproc_per_node", str(processes), train_parallel.__file__]
        subprocess.run([*command, *self.arguments(out, *more)], check=True, timeout=300)

    def left(self, out: str) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
        log = [json.loads(line) for line in (self.folder / out / train_parallel.LOG).read_text().splitlines()]
        return log, load_file(self.folder / out / "adapter_model.safetensors")

    def problem(self, *more: str) -> str:
        try:
            self.alone("wrong", *more)
        except SystemExit as ended:
            return str(ended)
        raise AssertionError("wrong samples were learnt")


def compare(what: str, runs: Runs, out: str, losses: list[float], lora: dict[str, torch.Tensor], close: float = CLOSE) -> None:
    log, found = runs.left(out)
    assert [entry["step"] for entry in log] == list(range(1, len(losses) + 1)), f"{what}: the log has steps {[entry['step'] for entry in log]}"
    off = max(abs(entry["loss"] - loss) / loss for entry, loss in zip(log, losses))
    assert off <= close, f"{what}: a loss is off by {off:.1e}: {[entry['loss'] for entry in log]}, not {losses}"
    assert found.keys() == lora.keys(), f"{what}: {found.keys() ^ lora.keys()}"
    apart = max((found[name] - lora[name]).abs().max().item() for name in lora)
    assert apart <= close, f"{what}: the LoRA is off by {apart:.1e}"
    print(f"{what}: losses within {off:.1e}, LoRA within {apart:.1e}", flush=True)


def check_problems(runs: Runs) -> None:
    samples = runs.folder / "samples"
    whole = samples.with_name("whole")
    samples.rename(whole)

    def told(file: str, change: Any) -> str:
        shutil.rmtree(samples, ignore_errors=True)
        shutil.copytree(whole, samples)
        change(samples / file)
        return runs.problem()

    def edit(line: int, **values: Any) -> Any:
        def change(path: Path) -> None:
            lines = path.read_text().splitlines()
            lines[line - 1] = json.dumps(json.loads(lines[line - 1]) | values)
            path.write_text("\n".join(lines) + "\n")

        return change

    def cut(path: Path) -> None:
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))

    for file, change, expected in (
        ("epoch-0.jsonl", edit(3, tokens=[1, 2, 64, 4], labels=[-100, 2, 3, 4]), "epoch-0.jsonl:3: s2: token 64 at place 2"),
        ("epoch-0.jsonl", edit(2, labels=[-100, 2]), "epoch-0.jsonl:2: s1: 17 tokens and 2 labels"),
        ("epoch-1.jsonl", edit(6, step=9), "epoch-1.jsonl:6: s5: step 9 after step 4"),
        ("epoch-1.visual.npy", lambda path: np.save(path, np.load(path)[:-1]), "epoch-1.jsonl:9: s8: epoch-1.visual.npy has"),
        ("epoch-0.audio.npy", lambda path: np.save(path, np.vstack([np.load(path)] * 2)), "epoch-0.audio.npy: has"),
        ("epoch-0.audio.npy", Path.unlink, "epoch-0.audio.npy: No such file"),
        ("epoch-1.jsonl", Path.unlink, "epoch-1.jsonl: No such file"),
        ("epoch-1.jsonl", cut, "epoch-1.jsonl:8: ends after 2 steps; an epoch has 3"),
        ("lora/adapter_model.safetensors", Path.unlink, "is not where a LoRA of this base and stage.json could start"),
        ("adapters.safetensors", lambda path: path.write_bytes(b"no"), "adapters.safetensors: is no safetensors file"),
    ):
        found = told(file, change)
        assert expected in found, f"{expected!r} is not in {found!r}"
        print(f"told: {found.replace(str(runs.folder) + '/', '')}")
    assert not (runs.folder / "wrong").exists()
    shutil.rmtree(samples)
    whole.rename(samples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--shard", action="store_true", help="on CPUs too")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = Runs(folder, ["--device", args.device])
        make_samples(folder / "samples")
        make_models(folder / "base", folder / "earlier")
        make_start(folder / "samples/lora", folder / "base", folder / "earlier")
        losses, lora = plain(folder / "samples", folder / "base", folder / "earlier")
        assert max(abs(a - b) for a, b in itertools.pairwise(losses)) > 0.01, losses

        runs.alone("one")
        compare("one process", runs, "one", losses, lora)
        log, _ = runs.left("one")
        assert all(abs(entry["lr"] - LR * share) < 1e-8 for entry, share in zip(log, SHARES)), [entry["lr"] for entry in log]
        assert max(entry["norm"] for entry in log) > 1.0, "nothing was clipped"
        stage = Stage.read(folder / "samples/stage.json")
        assert dataclasses.replace(stage, schedule="constant").rate(3, 6) == LR
        base = LlamaForCausalLM.from_pretrained(folder / "base")
        assert PeftModel.from_pretrained(base, str(folder / "one")).peft_config["default"].lora_alpha == 8

        shard = ["--shard"] if args.shard else []
        runs.together(args.processes, "two", "--micro", "2", *shard)
        compare(f"{args.processes} processes", runs, "two", losses, lora)
        runs.together(args.processes, "cut", "--micro", "2", "--limit", "4", "--checkpointing", *shard)
        assert not (folder / "cut/adapter_model.safetensors").exists()
        runs.alone("cut", "--resume", "--micro", "3")
        compare("interrupted, then one process", runs, "cut", losses, lora)

        make_stage(folder / "samples", 0.1)
        runs.alone("straight")
        log, straight = runs.left("straight")
        runs.alone("again", "--limit", "3", "--checkpoint-every", "2")
        with (folder / "again" / train_parallel.LOG).open("a") as file:
            file.write('{"step": 4, "loss": 1.0}\n{"step": 5, "lo')
        runs.alone("again", "--resume")
        compare("interrupted, with dropout", runs, "again", [entry["loss"] for entry in log], straight, 0.0)
        assert "go on with it by --resume" in runs.problem("--out", str(folder / "again"))
        make_stage(folder / "samples", 0.2)
        assert "is of another run" in runs.problem("--out", str(folder / "again"), "--resume")
        make_stage(folder / "samples", 0.0)

        runs.alone("half", "--dtype", "bf16")
        half, _ = runs.left("half")
        assert all(abs(entry["loss"] - loss) < 0.02 * loss for entry, loss in zip(half, losses)), [entry["loss"] for entry in half]
        check_problems(runs)
    assert not dist.is_initialized()


if __name__ == "__main__":
    main()
