"""Exports the encoders of the released AVicuna to the ONNX files that `model.toml` names, and compares them with torch.

    pip install torch transformers onnx onnxruntime
    python scripts/export_encoders.py clip openai/clip-vit-large-patch14 MODEL_DIR/clip-vit-l14.onnx --check
    python scripts/export_encoders.py clap laion/clap-htsat-fused MODEL_DIR/clap-htsat.onnx --check

The model is a folder or a name on the hub, of the class `CLIPVisionModelWithProjection` or `ClapAudioModelWithProjection` (a whole
CLIP or CLAP does too: the other half is left away).

| | input | output |
|---|---|---|
| clip | `frames` [batch, 3, S, S] float32, resized and normalised | `embedding` [batch, D] float32: class token, norm, projection; not normalised |
| clap | `mel` [batch, 1001, 64] float32, dB of 10 s at 48 kHz | `embedding` [batch, D] float32: projection, of length 1 |

The batch is free, everything else is fixed. A CLAP with feature fusion looks at the whole clip alone, as the reference does: its
clips are exactly 10 s, so none is "longer", and the fused channels are never read (the feature extractor of transformers marks a
random clip as longer; that is what this leaves out). The same weights give the same bytes. `--check` runs both on random input in
batches of 1 and 3 and fails where they differ by more than 1e-4 of the largest value.
"""

import argparse
import hashlib
import io
import os
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

OPSET = 17
MELS, HOP, RATE, SECONDS = 64, 480, 48_000, 10
FRAMES = RATE * SECONDS // HOP + 1


class Clip(nn.Module):
    """Pictures to CLIP's image embeddings."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        self.row = (3, model.config.image_size, model.config.image_size)
        self.names = "frames", "embedding"

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return self.model(pixel_values=frames).image_embeds

    def expected(self, frames: torch.Tensor) -> torch.Tensor:
        """What the export must return, by the model as it was loaded."""
        return self.forward(frames)


class Clap(nn.Module):
    """Log-mel spectrograms of 10 s to CLAP's audio embeddings."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        self.fused = model.config.enable_fusion
        if self.fused and model.config.fusion_type == "channel_map":
            raise SystemExit("a CLAP that is fused by `channel_map` reads all channels; only the 2d fusions can be exported")
        self.row = (FRAMES, MELS)
        self.names = "mel", "embedding"

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        encoder = self.model.audio_model.audio_encoder
        # Without fusion the same layers read one channel, which is all they read of a clip that is not longer.
        encoder.enable_fusion = encoder.patch_embed.enable_fusion = False
        embedding = self.model(input_features=mel[:, None]).audio_embeds
        return embedding / embedding.norm(dim=-1, keepdim=True)

    def expected(self, mel: torch.Tensor) -> torch.Tensor:
        """What the export must return, by the model as it was loaded: four equal channels, none longer."""
        encoder = self.model.audio_model.audio_encoder
        encoder.enable_fusion = encoder.patch_embed.enable_fusion = self.fused
        channels = 4 if self.fused else 1
        longer = torch.zeros(len(mel), 1, dtype=torch.bool)
        features = mel[:, None].expand(-1, channels, -1, -1)
        embedding = self.model(input_features=features, is_longer=longer).audio_embeds
        return torch.nn.functional.normalize(embedding, dim=-1)


def load(kind: str, source: str) -> nn.Module:
    import transformers

    if kind == "clip":
        return Clip(transformers.CLIPVisionModelWithProjection.from_pretrained(source).eval())
    return Clap(transformers.ClapAudioModelWithProjection.from_pretrained(source).eval())


def export(encoder: nn.Module) -> bytes:
    """The ONNX file of an encoder."""
    name_in, name_out = encoder.names
    buffer = io.BytesIO()
    with torch.no_grad():
        torch.onnx.export(
            encoder.float().eval(),
            # A batch of one would be taken for a fixed size here and there.
            (torch.randn(2, *encoder.row),),
            buffer,
            input_names=[name_in],
            output_names=[name_out],
            dynamic_axes={name_in: {0: "batch"}, name_out: {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    width = encoder.model.config.projection_dim
    shape = model.graph.output[0].type.tensor_type.shape
    shape.Clear()
    shape.dim.add().dim_param = "batch"
    shape.dim.add().dim_value = width
    # What torch writes beside the graph changes with its version.
    model.producer_name, model.producer_version = "export_encoders", ""
    for node in model.graph.node:
        node.ClearField("doc_string")
        del node.metadata_props[:]
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def difference(encoder: nn.Module, data: bytes, batch: int) -> tuple[float, float]:
    """The largest difference between torch and ONNX Runtime on random input, and the largest value."""
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(batch)
    rows = torch.randn(batch, *encoder.row, generator=generator)
    if isinstance(encoder, Clap):
        rows = rows * 20 - 40
    with torch.no_grad():
        expected = encoder.expected(rows).numpy()
    (found,) = session.run(None, {encoder.names[0]: rows.numpy()})
    assert found.shape == expected.shape, f"{found.shape} instead of {expected.shape}"
    return float(np.abs(found - expected).max()), float(np.abs(expected).max())


def check(encoder: nn.Module, data: bytes) -> None:
    for batch in (1, 3):
        off, largest = difference(encoder, data, batch)
        print(f"batch {batch}: torch and onnxruntime differ by at most {off:.2e} of {largest:.3f}")
        if not off <= 1e-4 * largest:
            sys.exit("the export is not the model")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["clip", "clap"])
    parser.add_argument("model", help="a folder or a name on the hub")
    parser.add_argument("out", type=Path)
    parser.add_argument("--check", action="store_true", help="compare torch and onnxruntime")
    args = parser.parse_args()
    encoder = load(args.kind, args.model)
    data = export(encoder)
    if args.check:
        check(encoder, data)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    part = args.out.with_name(args.out.name + ".part")
    part.write_bytes(data)
    os.replace(part, args.out)
    print(f"{hashlib.sha256(data).hexdigest()}  {args.out}")
    print(f"dim = {encoder.model.config.projection_dim}")


if __name__ == "__main__":
    main()
