"""Seconds of a training step with PyTorch, transformers and PEFT: SmolLM2-135M's shape, LoRA on all linear layers.

    python scripts/bench_train.py [--dtype f32|bf16] [--rows 180] [--batch 8] [--rank 16] [--steps 5] [--checkpointing]

Random weights of the model's shape: speed does not depend on their values. The first step is not counted. Beside it:
`cargo run --release --workspace --example bench_train` with the same options. Needs torch, transformers and peft.
"""

import argparse
import contextlib
import statistics
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

ANSWER = 40  # rows of each sequence with a label


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", choices=("f32", "bf16"), default="f32")
    for name, value in (("rows", 180), ("batch", 8), ("rank", 16), ("steps", 5)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    if not any(name in Path("/proc/self/maps").read_text() for name in ("openblas", "mkl", "blis")):
        parser.exit(1, "torch multiplies with the reference BLAS, which is no peer: install libopenblas0-pthread (scripts/setup.sh test)\n")
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, rms_norm_eps=1e-5, rope_theta=100000.0, max_position_embeddings=2048, tie_word_embeddings=True,
    )  # fmt: skip
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = get_peft_model(
        LlamaForCausalLM(shape), LoraConfig(r=args.rank, lora_alpha=2 * args.rank, target_modules=targets, task_type="CAUSAL_LM")
    )
    if args.checkpointing:
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    ids = torch.randint(0, 49152, (args.batch, args.rows))
    labels = ids.clone()
    labels[:, :-ANSWER] = -100
    cast = torch.autocast("cpu", torch.bfloat16) if args.dtype == "bf16" else contextlib.nullcontext()
    seconds = []
    for _ in range(args.steps + 1):
        began = time.perf_counter()
        with cast:
            loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - began)
    median = statistics.median(seconds[1:])
    print(f"torch {args.dtype}, {args.batch} x {args.rows} rows, r {args.rank}: {median:.2f} s a step ({min(seconds[1:]):.2f} at best)")


if __name__ == "__main__":
    main()
