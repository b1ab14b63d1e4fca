"""Writes the lists in this folder: which classes an encoder takes for which.

    make.py AUDIO.onnx CLASSIFIER.onnx DETECTOR.onnx FOLDER

Two classes whose weights in the last layer of an encoder point the same way come up together, whatever is shown. A line for
each class, in the order of its list in models/src/vocabulary/: the numbers of the classes nearest to it, nearest first. The
graphs are those that `avicuna models pull` leaves in the cache for assets/models/avicuna-natural.
"""

import sys

import numpy as np
import onnx
from onnx import numpy_helper

# Classes on a line.
NEAREST = 12


def weights(path, *names):
    tensors = {tensor.name: tensor for tensor in onnx.load(path).graph.initializer}
    return [numpy_helper.to_array(tensors[name]) for name in names]


def nearest(opinions):
    """Of each class by the mean cosine over all matrices [classes, width], without what all classes share."""
    total = 0
    for matrix in opinions:
        centred = matrix - matrix.mean(0)
        unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
        total = total + unit @ unit.T
    np.fill_diagonal(total, -np.inf)
    return np.argsort(-total, axis=1, kind="stable")[:, :NEAREST]


def main(audio, classifier, detector, folder):
    heads = weights(detector, *(f"BoxPredictor_{n}/ClassPredictor/BiasAdd.weight" for n in (1, 2)))
    lists = {
        "audioset": [matrix.T for matrix in weights(audio, "classes")],
        "imagenet": weights(classifier, "_fc.weight"),
        # Six boxes at each place have opinions of their own.
        "coco": [box for head in heads for box in head.reshape(6, 80, -1)],
    }
    for name, opinions in lists.items():
        with open(f"{folder}/{name}.txt", "w", encoding="ascii") as out:
            for row in nearest(opinions):
                print(*row, file=out)


if __name__ == "__main__":
    main(*sys.argv[1:])
