"""SmolLM2 from its Q4_1 GGUF file (dequantised, as at run time) with a LoRA on every linear layer, for training on CPU."""

import math
from pathlib import Path

import gguf
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from words import GGUF

LAYERS, HIDDEN, HEADS, KV_HEADS, HEAD, INNER = 30, 576, 9, 3, 64, 1536
ROPE_BASE, EPSILON = 100_000.0, 1e-5
RANK, ALPHA = 32, 64
SHAPES = {"q": HEADS * HEAD, "k": KV_HEADS * HEAD, "v": KV_HEADS * HEAD, "o": HIDDEN, "gate": INNER, "up": INNER, "down": HIDDEN}
PEFT = {n: f"self_attn.{n}_proj" for n in "qkvo"} | {n: f"mlp.{n}_proj" for n in ("gate", "up", "down")}


def halves(weight: np.ndarray, heads: int) -> np.ndarray:
    """GGUF keeps the rows of a query or key head as the rotation's interleaved pairs; a LoRA of PEFT wants its two halves."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def read(path: Path = GGUF) -> dict[str, torch.Tensor]:
    """All weights as float32."""
    out = {}
    for tensor in gguf.GGUFReader(str(path)).tensors:
        weight = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if tensor.name.endswith(("attn_q.weight", "attn_k.weight")):
            weight = halves(weight, HEADS if "attn_q" in tensor.name else KV_HEADS)
        out[tensor.name] = torch.from_numpy(np.array(weight, np.float32))
    return out


class Linears(nn.Module):
    """Linear layers of one input, run as one, each with its LoRA."""

    def __init__(self, names: tuple[str, ...], weights: list[torch.Tensor], dtype: torch.dtype):
        super().__init__()
        self.names, self.sizes = names, [len(w) for w in weights]
        self.weight = nn.Parameter(torch.cat(weights).to(dtype), requires_grad=False)
        columns = weights[0].shape[1]
        self.a = nn.Parameter(torch.randn(len(names) * RANK, columns) / math.sqrt(columns))
        self.b = nn.ParameterList([torch.zeros(size, RANK) for size in self.sizes])
        self.merged = False

    @torch.no_grad()
    def merge(self) -> None:
        """Adds the LoRA to the weights, for faster answers."""
        added = torch.cat([b @ a for a, b in zip(self.a.split(RANK), self.b)]) * (ALPHA / RANK)
        self.weight.copy_(self.weight.float() + added)
        self.merged = True

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        dtype = self.weight.dtype
        x = x.to(dtype)
        base = F.linear(x, self.weight).split(self.sizes, -1)
        if self.merged:
            return list(base)
        low = (F.linear(x, self.a.to(dtype)) * (ALPHA / RANK)).split(RANK, -1)
        return [y + F.linear(z, b.to(dtype)) for y, z, b in zip(base, low, self.b)]


def norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return F.rms_norm(x, (HIDDEN,), weight, EPSILON)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    a, b = x.float().chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)


class Layer(nn.Module):
    def __init__(self, w: dict[str, torch.Tensor], dtype: torch.dtype):
        super().__init__()
        keep = lambda name: nn.Parameter(w[f"{name}.weight"], requires_grad=False)
        self.attention_norm, self.ffn_norm = keep("attn_norm"), keep("ffn_norm")
        self.qkv = Linears(("q", "k", "v"), [w[f"attn_{n}.weight"] for n in "qkv"], dtype)
        self.o = Linears(("o",), [w["attn_output.weight"]], dtype)
        self.up = Linears(("gate", "up"), [w["ffn_gate.weight"], w["ffn_up.weight"]], dtype)
        self.down = Linears(("down",), [w["ffn_down.weight"]], dtype)

    def forward(self, x, cos, sin, mask, past=None):
        q, k, v = self.qkv(norm(x, self.attention_norm))
        split = lambda t: t.unflatten(-1, (-1, HEAD)).transpose(1, 2)
        q, k, v = rotate(split(q), cos, sin), rotate(split(k), cos, sin), split(v)
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        wide = lambda t: t.repeat_interleave(HEADS // KV_HEADS, 1)
        y = F.scaled_dot_product_attention(q, wide(k), wide(v), attn_mask=mask)
        x = x + self.o(y.transpose(1, 2).flatten(2))[0].float()
        gate, up = self.up(norm(x, self.ffn_norm))
        return x + self.down(F.silu(gate) * up)[0].float(), (k, v)


class Llm(nn.Module):
    def __init__(self, dtype: torch.dtype = torch.bfloat16, path: Path = GGUF):
        super().__init__()
        w = read(path)
        part = lambda i: {name.removeprefix(f"blk.{i}."): t for name, t in w.items() if name.startswith(f"blk.{i}.")}
        self.layers = nn.ModuleList(Layer(part(i), dtype) for i in range(LAYERS))
        self.norm = nn.Parameter(w["output_norm.weight"], requires_grad=False)
        self.embedding = nn.Parameter(w["token_embd.weight"], requires_grad=False)
        self.head = nn.Parameter(w.get("output.weight", self.embedding).to(dtype), requires_grad=False)

    def forward(self, x, positions, mask, past=None):
        """[B, T, 576] embeddings, [B, T] positions, [B, 1, T, past + T] which may see which -> hidden states after the last norm."""
        frequency = ROPE_BASE ** (-torch.arange(0, HEAD, 2, dtype=torch.float32) / HEAD)
        angle = positions[:, None, :, None].float() * frequency
        cos, sin, kept = angle.cos(), angle.sin(), []
        for i, layer in enumerate(self.layers):
            x, new = layer(x, cos, sin, mask, past[i] if past else None)
            kept.append(new)
        return norm(x, self.norm), kept

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return F.linear(hidden.to(self.head.dtype), self.head).float()

    def lora(self) -> dict[str, torch.Tensor]:
        """The LoRA under PEFT's names."""
        out = {}
        for i, layer in enumerate(self.layers):
            for group in (layer.qkv, layer.o, layer.up, layer.down):
                for name, a, b in zip(group.names, group.a.split(RANK), group.b):
                    key = f"base_model.model.model.layers.{i}.{PEFT[name]}"
                    out[f"{key}.lora_A.weight"], out[f"{key}.lora_B.weight"] = a.detach(), b.detach()
        return out

    @torch.no_grad()
    def load_lora(self, tensors: dict[str, torch.Tensor]) -> None:
        for name, own in self.lora().items():
            own.copy_(tensors[name])
