"""Turns the packaged CED-tiny into the audio encoder's ONNX file: the same network, drawn anew from its weights.

    python ced_onnx.py tiny.onnx ced-tiny.onnx [--frames]

Input `waveform` [B, samples] float32 (16 kHz, mono, 2400 to 163679 samples: 0.15 to 10.2 s); output `posteriors` [B, 527]: for each class
of AudioSet how likely it is heard. With --frames also `frames` [B, steps, 527]: what each step of 160 ms adds to that. The packaged weights
are int8 and stay as they are rounded, but become float32: that is faster than unpacking them each time. The Fourier transform is a
convolution, which every execution provider knows. The same file gives the same bytes. Needs numpy and onnx.
"""

import argparse
import hashlib
import os
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, checker, helper, numpy_helper

WINDOW, HOP, MELS, PATCH = 512, 160, 64, 16
WIDTH, HEADS, BLOCKS, CLASSES = 192, 3, 12, 527
LEAST_POWER, BATCH_NORM_EPSILON, NORM_EPSILON, HEAD_NORM_EPSILON = 1e-10, 1e-5, 1e-6, 1e-5


class Weights:
    """The packaged weights as float32, by their name or by the one that uses them."""

    def __init__(self, file: Path):
        graph = onnx.load(file).graph
        self.values = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
        for node in graph.node:
            if node.op_type == "DequantizeLinear":
                rounded, scale, zero = (self.values[name] for name in node.input)
                self.values[node.output[0]] = (rounded.astype(np.float32) - np.float32(zero)) * scale
        # The matrices were renamed when they were exported; what is multiplied by a weight comes in the order of the network.
        multiplied = [node.input[1] for node in graph.node if node.op_type == "MatMul"]
        self.matrices = [self.values[name] for name in multiplied if name in self.values]
        if len(self.matrices) != 1 + 4 * BLOCKS:
            raise SystemExit(f"{file} is no CED with {BLOCKS} blocks")

    def __getitem__(self, name: str) -> np.ndarray:
        value = self.values.get(f"{name}_dq", self.values.get(name))
        if value is None:
            raise SystemExit(f"the file has no weight {name}")
        return value

    def only(self, shape: tuple[int, ...]) -> np.ndarray:
        """The one weight of a shape, for those that have lost their name."""
        found = [value for name, value in self.values.items() if value.shape == shape and value.dtype == np.float32]
        if len(found) != 1:
            raise SystemExit(f"the file has {len(found)} weights of shape {shape}, not one")
        return found[0]


class Graph:
    """ONNX nodes in order, with the weights they use."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def integers(self, name: str, *values: int) -> str:
        return self.constant(name, np.array(values, np.int64))

    def node(self, op: str, inputs: list[str], output: str, **attributes) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def linear(self, x: str, name: str, matrix: np.ndarray, bias: np.ndarray) -> str:
        """x [.., in] times a matrix [in, out], plus a bias."""
        x = self.node("MatMul", [x, self.constant(f"{name}.weight", matrix)], f"{name}.product")
        return self.node("Add", [x, self.constant(f"{name}.bias", bias)], name)

    def norm(self, x: str, name: str, w: Weights, epsilon: float) -> str:
        inputs = [x, self.constant(f"{name}.weight", w[f"{name}.weight"]), self.constant(f"{name}.bias", w[f"{name}.bias"])]
        return self.node("LayerNormalization", inputs, name, axis=-1, epsilon=epsilon)


def fourier(window: np.ndarray) -> np.ndarray:
    """Kernels [514, 1, 512]: the real parts of 257 frequencies, then the imaginary ones. Their squares add up to the power."""
    turns = np.arange(WINDOW // 2 + 1)[:, None] * np.arange(WINDOW)[None, :] % WINDOW
    # Libraries differ in a sine's last bit. Rounded, it is the same everywhere, and so is the file.
    sine = np.round(np.sin(np.arange(WINDOW) * (2 * np.pi / WINDOW)), 12)
    cosine = np.roll(sine, -WINDOW // 4)
    return (np.concatenate([cosine[turns], sine[turns]]) * window.astype(np.float64)).astype(np.float32)[:, None, :]


def spectrogram(g: Graph, w: Weights) -> str:
    """The waveform as [B, 1, 64, times]: the decibels of each mel band, normed."""
    half = WINDOW // 2
    x = g.node("Pad", ["waveform", g.integers("pads", 0, half, 0, half)], "padded", mode="reflect")
    x = g.node("Unsqueeze", [x, g.integers("one", 1)], "channel")
    x = g.node("Conv", [x, g.constant("fourier", fourier(w.only((WINDOW,))))], "spectrum", strides=[HOP])
    x = g.node("Mul", [x, x], "squares")
    mel = w.matrices[0].T
    x = g.node("MatMul", [g.constant("mel", np.concatenate([mel, mel], axis=1)), x], "power")
    x = g.node("Log", [g.node("Max", [x, g.constant("least", np.float32(LEAST_POWER))], "audible")], "logarithm")
    # Decibels, then the batch norm, which knows each band.
    norm = {name: w[f"model.encoder.init_bn.{name}"].astype(np.float64) for name in ("weight", "bias", "running_mean", "running_var")}
    gain = norm["weight"] / np.sqrt(norm["running_var"] + BATCH_NORM_EPSILON)
    decibel = np.float64(4.3429448190325175)
    x = g.node("Mul", [x, g.constant("gain", (gain * decibel).astype(np.float32)[:, None])], "scaled")
    x = g.node("Add", [x, g.constant("shift", (norm["bias"] - norm["running_mean"] * gain).astype(np.float32)[:, None])], "normed")
    return g.node("Unsqueeze", [x, "one"], "image")


def patches(g: Graph, w: Weights, x: str) -> str:
    """The image as tokens [B, 4 * steps, 192], which come frequency by frequency, each through all of time."""
    name = "model.encoder.patch_embed.proj"
    inputs = [x, g.constant(f"{name}.weight", w[f"{name}.weight"]), g.constant(f"{name}.bias", w[f"{name}.bias"])]
    x = g.node("Conv", inputs, "patches", strides=[PATCH, PATCH])
    # What a place in time and one in frequency add, for as many steps as there are.
    places = g.constant("places", w["model.encoder.time_pos_embed"] + w.only((1, WIDTH, MELS // PATCH, 1)))
    steps = g.node("Shape", [x], "steps", start=3, end=4)
    places = g.node("Slice", [places, g.integers("start", 0), steps, g.integers("time", 3)], "places.heard")
    x = g.node("Add", [x, places], "patches.placed")
    x = g.node("Reshape", [x, g.integers("tokens.shape", 0, WIDTH, -1)], "tokens.last")
    return g.node("Transpose", [x], "tokens", perm=[0, 2, 1])


def attention(g: Graph, w: Weights, x: str, block: str, qkv: np.ndarray, proj: np.ndarray) -> str:
    size = WIDTH // HEADS
    # A power of two, so the scores are the same to the bit.
    scale = np.repeat(np.array([size**-0.5, 1, 1], np.float32), WIDTH)
    x = g.linear(x, f"{block}.qkv", qkv * scale, w[f"model.encoder.{block}.attn.qkv.bias"] * scale)
    parts = [f"{block}.{name}" for name in "qkv"]
    g.nodes.append(helper.make_node("Split", [x], parts, name=f"{block}.split", axis=-1, num_outputs=3))
    parts = [g.node("Reshape", [part, "heads.shape"], f"{part}.heads") for part in parts]
    # Queries and values [B, heads, tokens, size], keys [B, heads, size, tokens].
    q, k, v = (g.node("Transpose", [part], f"{part}.turned", perm=perm) for part, perm in zip(parts, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])))
    x = g.node("Softmax", [g.node("MatMul", [q, k], f"{block}.scores")], f"{block}.shares", axis=-1)
    x = g.node("Transpose", [g.node("MatMul", [x, v], f"{block}.mixed")], f"{block}.joined", perm=[0, 2, 1, 3])
    x = g.node("Reshape", [x, "width.shape"], f"{block}.flat")
    return g.linear(x, f"{block}.proj", proj, w[f"model.encoder.{block}.attn.proj.bias"])


def transformer(g: Graph, w: Weights, x: str) -> str:
    g.integers("heads.shape", 0, 0, HEADS, WIDTH // HEADS)
    g.integers("width.shape", 0, 0, WIDTH)
    for index in range(BLOCKS):
        block = f"blocks.{index}"
        qkv, proj, fc1, fc2 = w.matrices[1 + 4 * index :][:4]
        normed = g.norm(x, f"model.encoder.{block}.norm1", w, NORM_EPSILON)
        x = g.node("Add", [x, attention(g, w, normed, block, qkv, proj)], f"{block}.attended")
        y = g.norm(x, f"model.encoder.{block}.norm2", w, NORM_EPSILON)
        y = g.node("Gelu", [g.linear(y, f"{block}.fc1", fc1, w[f"model.encoder.{block}.mlp.fc1.bias"])], f"{block}.gelu")
        y = g.linear(y, f"{block}.fc2", fc2, w[f"model.encoder.{block}.mlp.fc2.bias"])
        x = g.node("Add", [x, y], f"{block}.out")
    return g.norm(x, "model.encoder.norm", w, NORM_EPSILON)


def head(g: Graph, x: str, output: str) -> str:
    """Normed [.., 192] to posteriors [.., 527]."""
    x = g.node("Add", [g.node("MatMul", [x, "classes"], f"{output}.product"), "classes.bias"], f"{output}.logits")
    return g.node("Sigmoid", [x], output)


def steps(g: Graph, tokens: str, mean: str) -> str:
    """Each step's tokens [B, steps, 192], normed by the spread of the clip's mean [B, 192]: so the mean of the steps' logits is the clip's."""
    bands = g.node("Reshape", [tokens, g.integers("bands.shape", 0, MELS // PATCH, -1, WIDTH)], "bands")
    last = g.integers("last", -1)
    own, clip = g.node("ReduceMean", [bands, "one"], "step", keepdims=0), g.node("Unsqueeze", [mean, "one"], "clip")
    own, clip = (g.node("Sub", [x, g.node("ReduceMean", [x, last], f"{x}.mean")], f"{x}.centred") for x in (own, clip))
    variance = g.node("ReduceMean", [g.node("Mul", [clip, clip], "clip.squares"), last], "clip.variance")
    variance = g.node("Add", [variance, g.constant("epsilon", np.float32(HEAD_NORM_EPSILON))], "clip.positive")
    x = g.node("Div", [own, g.node("Sqrt", [variance], "clip.spread")], "step.scaled")
    x = g.node("Mul", [x, "model.outputlayer.0.weight"], "step.weighted")
    return g.node("Add", [x, "model.outputlayer.0.bias"], "step.normed")


def build(w: Weights, frames: bool):
    g = Graph()
    tokens = transformer(g, w, patches(g, w, spectrogram(g, w)))
    g.constant("classes", w["model.outputlayer.1.weight"].T)
    g.constant("classes.bias", w["model.outputlayer.1.bias"])
    mean = g.node("ReduceMean", [tokens, "one"], "mean", keepdims=0)
    head(g, g.norm(mean, "model.outputlayer.0", w, HEAD_NORM_EPSILON), "posteriors")
    outputs = [helper.make_tensor_value_info("posteriors", TensorProto.FLOAT, ["batch", CLASSES])]
    if frames:
        head(g, steps(g, tokens, mean), "frames")
        outputs.append(helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["batch", "steps", CLASSES]))
    inputs = [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", "samples"])]
    graph = helper.make_graph(g.nodes, "ced-tiny", inputs, outputs, g.constants)
    # The first set of operators that has Gelu.
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9, producer_name="ced_onnx")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--frames", action="store_true")
    args = parser.parse_args()
    model = build(Weights(args.model), args.frames)
    checker.check_model(model, full_check=True)
    data = model.SerializeToString(deterministic=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    part = args.out.with_name(args.out.name + ".part")
    part.write_bytes(data)
    os.replace(part, args.out)
    print(f"{hashlib.sha256(data).hexdigest()}  {args.out}")


if __name__ == "__main__":
    main()
