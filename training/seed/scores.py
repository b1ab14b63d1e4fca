"""Metrics of localisation. Segments are (start, end) in seconds."""

from collections import defaultdict

import numpy as np

Segment = tuple[float, float]


def overlap(a: Segment, b: Segment) -> float:
    inside = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    return inside / max(max(a[1], b[1]) - min(a[0], b[0]), 1e-9) if inside else 0.0


def union_iou(found: list[Segment], truth: list[Segment], length: float, step: float = 0.01) -> float:
    """Intersection over union of the time covered by any segment."""
    at = np.arange(step / 2, length, step)
    cover = lambda segments: np.any([(at >= s) & (at < e) for s, e in segments], 0) if segments else np.zeros(len(at), bool)
    a, b = cover(found), cover(truth)
    return float((a & b).sum() / max((a | b).sum(), 1))


def matches(found: list[Segment], truth: list[Segment], threshold: float) -> list[tuple[int, int]]:
    """One-to-one pairs (found, truth) at or above the threshold, best first."""
    pairs = sorted(((overlap(f, t), i, j) for i, f in enumerate(found) for j, t in enumerate(truth)), reverse=True)
    used_f, used_t, out = set(), set(), []
    for iou, i, j in pairs:
        if iou >= threshold and i not in used_f and j not in used_t:
            used_f.add(i)
            used_t.add(j)
            out.append((i, j))
    return out


def average_precision(found: list[tuple[float, int, Segment]], truth: dict[int, list[Segment]], threshold: float) -> float:
    """All-point AP of one class. `found`: (score, video, segment), ties in the order given; `truth`: segments by video."""
    hits, taken = [], defaultdict(set)
    for _, video, segment in sorted(found, key=lambda f: -f[0]):
        hit = False
        order = sorted(range(len(truth.get(video, []))), key=lambda j: -overlap(segment, truth[video][j]))
        for j in order:
            if overlap(segment, truth[video][j]) < threshold:
                break
            if j not in taken[video]:
                taken[video].add(j)
                hit = True
                break
        hits.append(hit)
    total = sum(map(len, truth.values()))
    tp = np.cumsum(hits) if hits else np.zeros(0)
    recall, precision = tp / total, tp / np.arange(1, len(hits) + 1)
    recall, precision = np.concatenate([[0], recall, [1]]), np.concatenate([[0], precision, [0]])
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    step = np.flatnonzero(recall[1:] != recall[:-1])
    return float(((recall[step + 1] - recall[step]) * precision[step + 1]).sum())


def mean_average_precision(found: dict[str, list], truth: dict[str, dict[int, list[Segment]]]) -> dict[str, float]:
    """mAP at tIoU 0.1..0.9 over the classes that occur, and their average."""
    out = {f"{t:.1f}": float(np.mean([average_precision(found.get(c, []), truth[c], t) for c in truth])) for t in np.arange(1, 10) / 10}
    return out | {"average": float(np.mean(list(out.values())))}
