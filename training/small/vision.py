"""The vision encoder as the daemon runs it: EfficientNet-Lite0 over a picture scaled to 224 x 224."""

import os
from pathlib import Path

import numpy as np
import onnxruntime

SIZE, POOLED, DIM = 224, 1280, 2280
MEAN, STD = 0.5, 0.5
CACHE = Path(os.environ.get("AVICUNA_CACHE", Path.home() / ".cache" / "avicuna"))
MODEL = CACHE / "models" / "efficientnet-lite0.onnx"


def session(path: Path = MODEL, threads: int = 2) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads leave the cores to others
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def encode(encoder: onnxruntime.InferenceSession, frames: np.ndarray, batch: int = 32) -> np.ndarray:
    """[n, 224, 224, 3] uint8 -> [n, 2280] float32: pooled features, then the posterior over the ImageNet classes."""
    x = ((frames.astype(np.float32) / 255 - MEAN) / STD).transpose(0, 3, 1, 2)
    parts = [encoder.run(None, {"frames": np.ascontiguousarray(x[i : i + batch])})[0] for i in range(0, len(x), batch)]
    return np.concatenate(parts) if parts else np.zeros((0, DIM), np.float32)
