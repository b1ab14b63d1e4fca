#!/usr/bin/env python3
"""Trains one stage's LoRA with PyTorch on several processes, from the samples that `avicuna train` exports.

    avicuna train --stage 3 --config FILE --out RUN --export SAMPLES
    torchrun --nproc_per_node 8 scripts/train_parallel.py SAMPLES --base vicuna-7b-v1.5 --out run/stage3 --dtype bf16
    torchrun --nproc_per_node 8 scripts/train_parallel.py SAMPLES4 --base vicuna-7b-v1.5 --merge run/stage3 --out run/stage4 --resume

BASE is the LLM in Hugging Face's layout; LoRAs of earlier stages (`--merge`) are merged into it first. Needs torch, transformers, peft
and safetensors: those of scripts/peft.txt with torch 1.13 on CPUs, torch 2.1 or later on GPUs. Every machine needs SAMPLES and BASE, and
all of them the same --out folder. Without torchrun it is one process.

On GPUs the frozen LLM is cut up between the processes by FullyShardedDataParallel (`--no-shard`: each holds all of it); on CPUs each
process holds all of it. The LoRA, which is small, is whole in each, and its gradient is summed once a step: that takes the place of
DistributedDataParallel in both cases. A step is what `avicuna train` makes of it: the sum of the cross entropies of all its labels divided
by their number, and the same schedule, clipping and AdamW. How many processes there are changes nothing but rounding, and which inputs
dropout leaves out.

Tried with scripts/check_parallel.py, on CPUs alone: processes with all of the base each, and sharded ones (`--shard`) with torch 2.15.
No GPU has been there to try it on; where there are some, run that with `--device cuda` first.
"""

import argparse
import contextlib
import dataclasses
import functools
import inspect
import json
import math
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import CheckpointImpl, checkpoint_wrapper
from transformers import LlamaForCausalLM

from parallel_samples import NOTHING, PLACES, Batch, Problem, Samples, Sequence, Stage, read_adapters, read_json

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CHECKPOINT = "parallel.safetensors"
# Of AdamW for each number, and how the checkpoint calls them.
MOMENTS = {"first": "exp_avg", "second": "exp_avg_sq"}
LOG = "log.jsonl"


class Learner(torch.nn.Module):
    """From a batch to the sum of its labels' cross entropies.

    All of it is one module because sharded weights, the embeddings' too, are whole only inside of the module that holds them.
    """

    def __init__(self, llm: LlamaForCausalLM) -> None:
        super().__init__()
        self.llm = llm

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor, visual: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
        rows = self.llm.model.embed_tokens(tokens.clamp(min=0)).float()
        rows[tokens == PLACES["visual"]] = visual
        rows[tokens == PLACES["audio"]] = audio
        # Nothing learns before the first layer, but without a gradient of its input FSDP keeps its weights until the step's end.
        rows.requires_grad_()
        hidden = self.llm.model(inputs_embeds=rows, attention_mask=mask, use_cache=False)[0]
        # Most rows have no label, and a row of logits is as long as the vocabulary.
        taught = labels[:, 1:] != NOTHING
        logits = self.llm.lm_head(hidden[:, :-1][taught]).float()
        return F.cross_entropy(logits, labels[:, 1:][taught], reduction="sum")


def dealt(step: list[Sequence], rank: int, world: int, micro: int) -> list[list[Sequence]]:
    """A process's micro-batches of a step: as many for every process, some perhaps empty.

    The longest come first, so that those beside each other are of about the same length, here and in the other processes.
    """
    ordered = sorted(step, key=lambda sequence: -sequence.length)
    return [ordered[start + rank : start + world * micro : world] for start in range(0, len(ordered), world * micro)]


def empty(hidden: int, device: torch.device) -> Batch:
    """What a process computes that has no sequence left: sharded weights are gathered by all processes or none."""
    one = torch.ones(1, 1, dtype=torch.int64, device=device)
    return Batch(0 * one, one, NOTHING * one, *(torch.zeros(0, hidden, device=device) for _ in PLACES))


def build(args: argparse.Namespace, stage: Stage) -> PeftModel:
    """The base with all earlier LoRAs in it and a fresh one beside it."""
    model = LlamaForCausalLM.from_pretrained(args.base, torch_dtype=DTYPES[args.dtype])
    for folder in args.merge:
        model = PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    alpha = stage.lora["alpha"]
    settings = LoraConfig(
        r=stage.lora["r"],
        # What reads adapter_config.json expects a whole number where there can be one.
        lora_alpha=int(alpha) if alpha == int(alpha) else alpha,
        lora_dropout=stage.lora["dropout"],
        target_modules=TARGETS,
        task_type="CAUSAL_LM",
        base_model_name_or_path=str(args.base),
    )
    torch.manual_seed(stage.seed)
    return get_peft_model(model, settings)


def begin_at(folder: Path, learning: dict[str, torch.nn.Parameter]) -> None:
    """Starts the LoRA where the export says."""
    path = folder / "adapter_model.safetensors"
    try:
        start = load_file(path)
        wanted = {name.replace(".default.", "."): parameter for name, parameter in learning.items()}
        if extra := start.keys() - wanted.keys():
            raise Problem(f"{path}: has {min(extra)}, which the base has not; it is of another base")
        for name, parameter in wanted.items():
            parameter.data.copy_(start[name])
    except (SafetensorError, OSError, KeyError, RuntimeError) as error:
        raise Problem(f"{path}: is not where a LoRA of this base and stage.json could start: {error}") from None


def place(peft: PeftModel, args: argparse.Namespace, device: torch.device) -> tuple[torch.nn.Module, dict[str, torch.nn.Parameter]]:
    """What computes the loss, on the device, and what learns, by name."""
    llm = peft.get_base_model()
    learning = {name: parameter for name, parameter in peft.named_parameters() if parameter.requires_grad}
    for parameter in learning.values():
        parameter.data = parameter.data.to(device, torch.float32)
    layers = llm.model.layers
    if args.checkpointing:
        # Inside of what is sharded: around it, weights would be gathered once more.
        for index, layer in enumerate(layers):
            layers[index] = checkpoint_wrapper(layer, checkpoint_impl=CheckpointImpl.NO_REENTRANT)
    learner = Learner(llm).train()
    return sharded(learner, type(layers[0]), device) if args.shard else learner.to(device), learning


def sharded(learner: Learner, layer: type, device: torch.device) -> torch.nn.Module:
    """The learner with each layer's weights, and the rest's, cut up between the processes."""
    # Debian's torch has it, but not for its Python.
    from torch.distributed.fsdp import FullyShardedDataParallel
    from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy

    for buffer in learner.buffers():
        buffer.data = buffer.data.to(device)
    settings: dict[str, Any] = {
        "device_id": device,
        "auto_wrap_policy": functools.partial(transformer_auto_wrap_policy, transformer_layer_cls={layer}),
        # What is left is frozen, so that FSDP has no gradient to reduce, nor a flat one as large as the LLM to keep.
        "ignored_modules": [module for name, module in learner.named_modules() if name.endswith((".lora_A", ".lora_B"))],
    }
    if "use_orig_params" in inspect.signature(FullyShardedDataParallel.__init__).parameters:
        settings["use_orig_params"] = True
    return FullyShardedDataParallel(learner, **settings)


def flat_gradient(parameters: list[torch.nn.Parameter]) -> torch.Tensor:
    """One tensor that all gradients are parts of, to be summed over the processes at once."""
    flat = torch.zeros(sum(parameter.numel() for parameter in parameters), device=parameters[0].device)
    start = 0
    for parameter in parameters:
        parameter.grad = flat[start : start + parameter.numel()].view_as(parameter)
        start += parameter.numel()
    return flat


def save(path: Path, of: dict[str, Any], done: int, learning: dict[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
    """Whatever happens meanwhile, there is the old checkpoint or the new one."""
    tensors = {f"value.{name}": parameter.detach().cpu() for name, parameter in learning.items()}
    for name, parameter in learning.items():
        tensors |= {f"{kind}.{name}": optimizer.state[parameter][key].cpu() for kind, key in MOMENTS.items()}
    part = path.with_name(path.name + ".part")
    save_file(tensors, part, metadata={"state": json.dumps({"of": of, "done": done})})
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def load(path: Path, of: dict[str, Any], learning: dict[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> int:
    """Takes up a checkpoint. Returns the steps that were made."""
    try:
        with safe_open(path, "pt") as file:
            state = json.loads(file.metadata()["state"])
            if state["of"] != of:
                raise Problem(f"{path}: is of another run ({state['of']}, not {of}); give its own samples, or another --out")
            for name, parameter in learning.items():
                parameter.data.copy_(file.get_tensor(f"value.{name}"))
                moments = {key: file.get_tensor(f"{kind}.{name}").to(parameter.device) for kind, key in MOMENTS.items()}
                optimizer.state[parameter] = {"step": torch.tensor(float(state["done"])), **moments}
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise Problem(f"{path}: is no checkpoint: {error}") from None
    return state["done"]


def save_lora(out: Path, peft: PeftModel, learning: dict[str, torch.nn.Parameter]) -> None:
    """In PEFT's files, but not by its model's `save_pretrained`, which does not know the layers again once they are sharded."""
    part = out / "adapter_model.safetensors.part"
    save_file({name.replace(".default.", "."): parameter.detach().cpu() for name, parameter in learning.items()}, part, metadata={"format": "pt"})
    part.replace(part.with_suffix(""))
    # By this file others see that the stage is at its end, so it comes last.
    settings = peft.peft_config["default"]
    settings.inference_mode = True
    settings.save_pretrained(str(out))


def open_log(path: Path, done: int) -> Any:
    """The log, without what an interrupted run told of steps that its checkpoint does not hold."""
    kept = []
    for line in path.read_text().splitlines() if done and path.exists() else []:
        # The last line may have been cut off when the run was killed.
        with contextlib.suppress(ValueError):
            if json.loads(line)["step"] <= done:
                kept.append(line + "\n")
    part = path.with_name(path.name + ".part")
    part.write_text("".join(kept))
    part.replace(path)
    return path.open("a")


def same_everywhere(done: int, device: torch.device, out: Path) -> None:
    """Processes that go on from different steps would wait for each other for ever."""
    ends = torch.tensor([done, -done], device=device)
    dist.all_reduce(ends, op=dist.ReduceOp.MAX)
    if ends[0] != -ends[1]:
        raise Problem(f"{out / CHECKPOINT}: is not the same for all processes (here step {done}); --out must be a folder that all machines share")


def check_folders(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the base's configuration."""
    config = read_json(args.base / "config.json")
    for key in ("vocab_size", "hidden_size"):
        if not isinstance(config.get(key), int):
            raise Problem(f"{args.base / 'config.json'}: `{key}` is {config.get(key)!r}")
    for folder in args.merge:
        read_json(folder / "adapter_config.json")
    if args.out.exists() and not args.out.is_dir():
        raise Problem(f"{args.out}: is no folder")
    if (args.out / CHECKPOINT).exists() and not args.resume:
        raise Problem(f"{args.out / CHECKPOINT}: there is a run already; go on with it by --resume, or give another --out")
    return config


def check_base(args: argparse.Namespace, stage: Stage, config: dict[str, Any]) -> None:
    """The samples were made for one base, with so many LoRAs in it."""
    path = args.samples / "stage.json"
    for ours, theirs in (("layers", "num_hidden_layers"), ("vocabulary", "vocab_size")):
        if getattr(stage, ours) != config.get(theirs):
            raise Problem(f"{path}: `{ours}` is {getattr(stage, ours)}, and the base's {config.get(theirs)}; it is of another base")
    if stage.merged != len(args.merge):
        raise Problem(f"{path}: the LoRAs of {stage.merged} earlier stages are in the base; give --merge for each of them, in their order")


def train(args: argparse.Namespace) -> None:
    device = torch.device(args.device, int(os.environ.get("LOCAL_RANK", "0"))) if args.device == "cuda" else torch.device("cpu")
    # All of it is checked before the weights are read, which takes minutes.
    config = check_folders(args)
    hidden = config["hidden_size"]
    samples = Samples(args.samples, config["vocab_size"])
    stage, steps = samples.stage, len(samples.steps)
    check_base(args, stage, config)
    adapters = read_adapters(samples, hidden, device)
    rank, world = dist.get_rank(), dist.get_world_size()

    peft = build(args, stage)
    learner, learning = place(peft, args, device)
    begin_at(args.samples / "lora", learning)
    parameters = list(learning.values())
    flat = flat_gradient(parameters)
    optimizer = torch.optim.AdamW(parameters, lr=stage.lr, betas=tuple(stage.betas), eps=1e-8, weight_decay=stage.weight_decay)
    of = {**dataclasses.asdict(stage), "steps": steps, "sequences": sum(map(len, samples.steps))}
    checkpoint = args.out / CHECKPOINT
    begin = load(checkpoint, of, learning, optimizer) if args.resume and checkpoint.exists() else 0
    same_everywhere(begin, device, args.out)
    end = steps if args.limit is None else min(steps, begin + args.limit)
    log = None
    if rank == 0:
        args.out.mkdir(parents=True, exist_ok=True)
        log = open_log(args.out / LOG, begin)
        print(f"{begin} of {steps} steps are made; {of['sequences']} sequences, {len(flat)} numbers learn, processes: {world}", flush=True)

    for done in range(begin, end):
        began = time.perf_counter()
        step = samples.steps[done]
        labels, tokens = sum(sequence.labels for sequence in step), sum(sequence.length for sequence in step)
        # Dropout depends on the step alone and not on what came before, so that a run that goes on is the same.
        torch.manual_seed(random.Random(f"{stage.seed} {done} {rank}").getrandbits(63))
        flat.zero_()
        total = torch.zeros((), dtype=torch.float64, device=device)
        for sequences in dealt(step, rank, world, args.micro):
            batch = samples.batch(sequences, adapters, hidden, device) if sequences else empty(hidden, device)
            with torch.autocast(device.type, torch.bfloat16) if args.dtype == "bf16" else contextlib.nullcontext():
                loss = learner(*batch) / labels
            loss.backward()
            total += loss.detach()
        dist.all_reduce(flat)
        dist.all_reduce(total)
        loss, norm = total.item(), torch.linalg.vector_norm(flat, dtype=torch.float64).item()
        lr = stage.rate(done, steps)
        if not math.isfinite(loss) or not math.isfinite(norm):
            names = ", ".join(sequence.id for sequence in step)
            raise Problem(f"{args.out}: step {done + 1}, learning rate {lr:g}: loss {loss}, norm of the gradient {norm}; the samples were {names}")
        if stage.clip and norm > stage.clip:
            flat.mul_(stage.clip / norm)
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
        if log:
            seconds = time.perf_counter() - began
            entry = {"step": done + 1, "epoch": step[0].epoch, "loss": loss, "lr": lr, "norm": norm, "tokens": tokens, "labels": labels}
            log.write(json.dumps({**entry, "tokens_per_second": tokens / seconds}) + "\n")
            log.flush()
            print(f"step {done + 1} of {steps}: loss {loss:.4f}, {tokens / seconds:.0f} tokens/s", flush=True)
            if done + 1 == end or (done + 1) % args.checkpoint_every == 0:
                save(checkpoint, of, done + 1, learning, optimizer)
    if log:
        log.close()
        if end == steps:
            save_lora(args.out, peft, learning)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", type=Path)
    parser.add_argument("--base", type=Path, required=True, metavar="DIR", help="the LLM in Hugging Face's layout")
    parser.add_argument("--merge", type=Path, action="append", default=[], metavar="DIR", help="the LoRA of an earlier stage; several in their order")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the LoRA, the log and the checkpoint go")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out, if there is one")
    parser.add_argument("--checkpoint-every", type=positive, default=100, metavar="N", help="steps (100)")
    parser.add_argument("--dtype", choices=tuple(DTYPES), default="f32", help="of the base and of products; the LoRA itself stays f32 (f32)")
    parser.add_argument("--micro", type=positive, default=1, metavar="N", help="sequences that a process computes at once (1)")
    parser.add_argument("--limit", type=positive, metavar="STEPS", help="stop after so many steps, with a checkpoint")
    parser.add_argument("--checkpointing", action="store_true", help="compute layers again on the way back: less memory, more time")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--shard", action=argparse.BooleanOptionalAction, help="cut the base up between the processes (on GPUs)")
    args = parser.parse_args(arguments)
    if args.shard is None:
        args.shard = args.device == "cuda"
    return args


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def main(arguments: list[str] | None = None) -> None:
    args = parse(arguments)
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if args.device == "cuda":
        torch.cuda.set_device(local)
    alone = {} if "RANK" in os.environ else {"store": dist.HashStore(), "rank": 0, "world_size": 1}
    dist.init_process_group("nccl" if args.device == "cuda" else "gloo", **alone)
    try:
        train(args)
        problem = None
    except Problem as found:
        problem = found
    # Not after other errors: the processes without one may be waiting for this one, and torchrun ends them once it is gone.
    dist.destroy_process_group()
    if problem:
        # Processes of one machine see the same files, and would all say the same.
        sys.exit(f"train_parallel: {problem}" if local == 0 else 1)


if __name__ == "__main__":
    main()
