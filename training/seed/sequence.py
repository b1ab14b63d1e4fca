"""From windows to what the LLM sees: one sequence per window, the questions side by side behind their common prefix."""

from dataclasses import dataclass

import numpy as np
import torch

from words import SLOTS, STAMP_EVERY, Words

PADDING = 99  # the segment of padding; 0 is the prefix, questions count from 1


@dataclass
class Batch:
    ids: torch.Tensor  # [B, T]
    positions: torch.Tensor  # [B, T]
    segments: torch.Tensor  # [B, T]
    visual: tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # rows, columns, slots
    audio: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    targets: tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # rows, columns, the id to predict there

    def mask(self) -> torch.Tensor:
        """[B, 1, T, T]: each token sees the prefix and its own question's tokens, up to itself."""
        s = self.segments
        same = (s[:, :, None] == s[:, None, :]) | (s[:, None, :] == 0)
        return (same & torch.ones(s.shape[1], s.shape[1], dtype=torch.bool).tril())[:, None]


def prefix(words: Words, has_visual: np.ndarray, has_audio: np.ndarray) -> tuple[list[int], list[tuple[int, int]], list[tuple[int, int]]]:
    """The ids of head and stamps with a 0 for each token, and the (position, slot) of the visual and of the audio tokens."""
    ids, visual, audio = list(words.head), [], []
    for slot in range(SLOTS):
        if slot % STAMP_EVERY == 0:
            ids += words.stamps[slot // STAMP_EVERY]
        for has, places in ((has_visual, visual), (has_audio, audio)):
            if has[slot]:
                places.append((len(ids), slot))
                ids.append(0)
    return ids, visual, audio


def collate(words: Words, windows: list) -> Batch:
    rows, visual, audio, targets = [], [], [], []
    for row, window in enumerate(windows):
        ids, seen, heard = prefix(words, window.has_visual, window.has_audio)
        visual += [(row, *place) for place in seen]
        audio += [(row, *place) for place in heard]
        positions, segments, length = list(range(len(ids))), [0] * len(ids), len(ids)
        for number, (question, answer) in enumerate(window.questions, 1):
            asked, told = words.question(question), words.answer(answer)
            first = len(ids) + len(asked)
            targets += [(row, first + i - 1, told[i]) for i in range(len(told))]
            piece = asked + told[:-1]
            ids += piece
            positions += range(length, length + len(piece))
            segments += [number] * len(piece)
        rows.append((ids, positions, segments))
    longest = max(len(ids) for ids, _, _ in rows)
    pad = lambda values, with_: torch.tensor([v + [with_] * (longest - len(v)) for v in values])
    columns = lambda places: tuple(torch.tensor(c) for c in (zip(*places) if places else ([], [], [])))
    arrays = (pad([r[0] for r in rows], 0), pad([r[1] for r in rows], 0), pad([r[2] for r in rows], PADDING))
    return Batch(*arrays, columns(visual), columns(audio), columns(targets))


def embed(batch: Batch, embedding: torch.Tensor, visual: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
    """[B, T, hidden]; `visual` and `audio` are adapted tokens, [B, 40, hidden]."""
    x = embedding[batch.ids]
    for (row, column, slot), tokens in ((batch.visual, visual), (batch.audio, audio)):
        if len(row):
            x = x.index_put((row, column), tokens[row.long(), slot.long()])
    return x
