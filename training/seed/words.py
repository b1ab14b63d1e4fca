"""The tokenizer of a GGUF file, as the daemon builds it, and the texts around questions and answers."""

from pathlib import Path

import gguf
import numpy as np
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

from vision import CACHE

GGUF = CACHE / "smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
DETECT = "What happens, and when?"
GROUND = "At which intervals in the video can we observe {event}, in terms of both visuals and audio?"
NOTHING, ABSENT = "Nothing happens.", "It does not happen."
BEGIN, END = "<|im_start|>", "<|im_end|>"
SECONDS, SLOTS, STAMP_EVERY = 20.0, 40, 2  # of a window; slots are of 0.5 s


class Words:
    def __init__(self, path: Path = GGUF):
        reader = gguf.GGUFReader(str(path))
        tokens = reader.fields["tokenizer.ggml.tokens"].contents()
        merges = [tuple(m.split(" ", 1)) for m in reader.fields["tokenizer.ggml.merges"].contents()]
        self.vocabulary = {token: i for i, token in enumerate(tokens)}
        self.tokenizer = Tokenizer(BPE(vocab=self.vocabulary, merges=merges))
        self.tokenizer.pre_tokenizer = Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=True)])
        self.tokenizer.decoder = decoders.ByteLevel()
        self.begin, self.end = self.vocabulary[BEGIN], self.vocabulary[END]
        self.head = [self.begin, *self.ids("user\n")]
        self.turn = [self.end, *self.ids("\n"), self.begin, *self.ids("assistant\n")]
        self.stamps = [self.ids(f"\n{round(100 * slot / SLOTS):02d}") for slot in range(0, SLOTS, STAMP_EVERY)]

    def ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def text(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids)

    def question(self, text: str) -> list[int]:
        """The ids after the audio-visual sequence, up to where the answer starts."""
        return self.ids(f"\n{text}") + self.turn

    def answer(self, text: str) -> list[int]:
        return self.ids(text) + [self.end]


def slot(seconds: float) -> str:
    """A time in a window as its two digits."""
    return f"{min(max(int(np.floor(100 * seconds / SECONDS + 0.5)), 0), 99):02d}"
