"""Greedy answers to all questions of a window, the prefix computed once."""

import numpy as np
import torch

import sequence
from adapters import Adapters
from llm import Llm
from words import Words


@torch.no_grad()
def answers(
    llm: Llm,
    adapters: Adapters,
    words: Words,
    visual: np.ndarray,
    audio: np.ndarray,
    has_visual: np.ndarray,
    has_audio: np.ndarray,
    asked: list[str],
    limit: int = 120,
) -> list[tuple[list[int], list[float]]]:
    """For each question the answer's ids, without the end token, and each one's log-probability."""
    ids, seen, heard = sequence.prefix(words, has_visual, has_audio)
    x = llm.embedding[torch.tensor(ids)].clone()
    tokens_v, tokens_a = adapters.visual(torch.tensor(visual)), adapters.auditory(torch.tensor(audio))
    for places, tokens in ((seen, tokens_v), (heard, tokens_a)):
        for position, slot in places:
            x[position] = tokens[slot]
    n, count = len(ids), len(asked)
    causal = torch.ones(n, n, dtype=torch.bool).tril()[None, None]
    _, past = llm(x[None], torch.arange(n)[None], causal)
    past = [(k.expand(count, -1, -1, -1), v.expand(count, -1, -1, -1)) for k, v in past]
    questions = [words.question(q) for q in asked]
    longest = max(map(len, questions))
    pad = torch.tensor([longest - len(q) for q in questions])
    tokens = torch.tensor([[0] * (longest - len(q)) + q for q in questions])
    at = torch.arange(longest)
    real = at[None] >= pad[:, None]
    visible = torch.cat([torch.ones(count, n, dtype=torch.bool), real], 1)
    inner = (at[None, :] <= at[:, None])[None] & real[:, None, :] | torch.eye(longest, dtype=torch.bool)
    mask = torch.cat([torch.ones(count, longest, n, dtype=torch.bool), inner], 2)[:, None]
    positions = n + torch.clamp(at[None] - pad[:, None], min=0)
    hidden, past = llm(llm.embedding[tokens], positions, mask, past)
    out: list[tuple[list[int], list[float]]] = [([], []) for _ in asked]
    open_rows = set(range(count))
    for step in range(limit):
        logprobs = torch.log_softmax(llm.logits(hidden[:, -1]), -1)
        best = logprobs.argmax(-1)
        for row in list(open_rows):
            if int(best[row]) == words.end:
                open_rows.discard(row)
            else:
                out[row][0].append(int(best[row]))
                out[row][1].append(float(logprobs[row, best[row]]))
        if not open_rows:
            break
        visible = torch.cat([visible, torch.ones(count, 1, dtype=torch.bool)], 1)
        here = n + longest - pad + step
        hidden, past = llm(llm.embedding[best[:, None]], here[:, None], visible[:, None, None], past)
    return out

