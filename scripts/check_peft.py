"""Loads a stage's LoRA with PEFT and prints the logits after the last of some tokens, as JSON.

    python scripts/check_peft.py BASE STAGE --ids 5,6,7

BASE is the LLM in Hugging Face's layout, STAGE a folder that `avicuna train` left, such as run/stage3. Needs torch, transformers
and peft: `scripts/setup.sh test` makes a virtual environment that has them, in which `cargo test --workspace --test peft` runs this
and compares with our own logits.
"""

import argparse
import json

import torch
from peft import PeftModel
from transformers import LlamaForCausalLM


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("stage")
    parser.add_argument("--ids", required=True, help="numbers of tokens, with commas between")
    args = parser.parse_args()
    base = LlamaForCausalLM.from_pretrained(args.base, torch_dtype=torch.float32)
    model = PeftModel.from_pretrained(base, args.stage).eval()
    ids = torch.tensor([[int(x) for x in args.ids.split(",")]])
    with torch.no_grad():
        print(json.dumps(model(input_ids=ids).logits[0, -1].tolist()))


if __name__ == "__main__":
    main()
