"""The two linear adapters into the LLM's embedding space, started near its own word embeddings.

The vision encoder's posterior part starts as the words of the ImageNet labels, so that things which were in no training picture have a
meaning; the pooled part and the audio adapter start as ridge regressions to the words of the classes.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

import vision
from classes import LABELS
from words import Words

IMAGENET = (Path(__file__).parents[2] / "config/train/imagenet_labels.txt").read_text().splitlines()
# What ImageNet calls our classes: numbers of its labels.
ALIASES: dict[str, tuple[int, ...]] = {
    "a frog": (30, 31, 32), "a crow": (), "a duck": (97, 98), "a hen": (8,), "an owl": (24,), "a penguin": (145,), "a rooster": (7,),
    "a seagull": (146,), "a toucan": (96,), "a bee": (309,), "a chimpanzee": (367,), "a gorilla": (366,), "an orca": (148,),
    "a whale": (147,), "a bear": (294, 295, 297), "a cow": (345, 346), "a goat": (350,), "a sheep": (348, 349), "a camel": (354,),
    "a lion": (291,), "a tiger": (292,), "a deer": (352, 353), "a dog": tuple(range(151, 269)), "a fox": (277, 278, 280),
    "an elephant": (101, 385, 386), "a horse": (339,), "a zebra": (340,), "a pig": (341, 342), "a rabbit": (330, 331, 332),
    "a squirrel": (335,), "a koala": (105,), "a drum kit": (541,), "a cymbal": (577,), "a cello": (486,), "a violin": (889,),
    "a bassoon": (432,), "a washing machine": (897,), "a vacuum cleaner": (882,), "a toilet": (861,), "a fire truck": (555,),
}  # fmt: skip
SEEN, HEARD, SHARE = " picture", " sound", 0.3  # words that tell the senses apart, mixed into every token


class Adapters(nn.Module):
    def __init__(self, hidden: int, audio_dim: int):
        super().__init__()
        self.pooled, self.posterior = nn.Parameter(torch.zeros(hidden, vision.POOLED)), nn.Parameter(torch.zeros(hidden, vision.CLASSES))
        self.vision_bias = nn.Parameter(torch.zeros(hidden))
        self.audio, self.audio_bias = nn.Parameter(torch.zeros(hidden, audio_dim)), nn.Parameter(torch.zeros(hidden))

    def visual(self, x: torch.Tensor) -> torch.Tensor:
        return x @ torch.cat([self.pooled, self.posterior], 1).T + self.vision_bias

    def auditory(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.audio.T + self.audio_bias

    def tensors(self) -> dict[str, torch.Tensor]:
        vision_weight = torch.cat([self.pooled, self.posterior], 1).detach()
        names = {"vision.weight": vision_weight, "vision.bias": self.vision_bias.detach()}
        return names | {"audio.weight": self.audio.detach(), "audio.bias": self.audio_bias.detach()}

    def load_tensors(self, tensors: dict[str, torch.Tensor]) -> None:
        """Takes over what `tensors` gave, in any precision."""
        weight = tensors["vision.weight"].float()
        parts = {"pooled": weight[:, : vision.POOLED], "posterior": weight[:, vision.POOLED :], "vision_bias": tensors["vision.bias"]}
        parts |= {"audio": tensors["audio.weight"], "audio_bias": tensors["audio.bias"]}
        self.load_state_dict({k: v.float() for k, v in parts.items()})


class Targets:
    """What tokens should look like: unit directions made of word embeddings, at the words' own size."""

    def __init__(self, words: Words, embedding: torch.Tensor):
        self.words, self.embedding = words, embedding.detach().float().numpy()
        self.size = float(np.sqrt((self.embedding**2).mean())) * np.sqrt(self.embedding.shape[1])

    def word(self, label: str) -> np.ndarray:
        """The mean of a label's word pieces, without its article."""
        bare = label.split(" ", 1)[1] if label.startswith(("a ", "an ")) else label
        ids = self.words.ids(" " + bare.strip())
        mean = self.embedding[ids].mean(0)
        return mean / np.linalg.norm(mean) * self.size

    def token(self, activity: np.ndarray, words: np.ndarray, sense: str) -> np.ndarray:
        """[n, labels] shares -> [n, hidden]: what is there, or nothing, with a share of the word for the sense."""
        nothing = np.clip(1 - activity.sum(1, keepdims=True), 0, 1)
        total = np.maximum(activity.sum(1, keepdims=True), 1)
        return activity / total @ words + nothing * self.word(" nothing") + SHARE * self.word(sense)


def ridge(x: np.ndarray, y: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights [outputs, inputs] and bias of a ridge regression with centred inputs and outputs."""
    mx, my = x.mean(0), y.mean(0)
    a = (x - mx).T @ (x - mx) + strength * len(x) * np.eye(x.shape[1])
    w = np.linalg.solve(a, (x - mx).T @ (y - my)).T
    return w, my - w @ mx


def label_activity(first: np.ndarray, second: np.ndarray, count: int) -> np.ndarray:
    out = np.zeros((len(first), count), np.float32)
    for labels in (first, second):
        there = labels >= 0
        out[np.flatnonzero(there), labels[there]] = 1
    return out


@torch.no_grad()
def start(adapters: Adapters, targets: Targets, bank: dict[str, np.ndarray], heard: tuple[np.ndarray, np.ndarray]) -> None:
    """Fills the adapters from the frame bank and from (audio embeddings, class activity)."""
    names = [str(n) for n in bank["names"]]
    words = np.stack([targets.word(n) for n in names])
    posterior = np.stack([targets.word(n) for n in IMAGENET])
    for label, numbers in ALIASES.items():
        for number in numbers:
            posterior[number] = targets.word(label)
    x = bank["features"].astype(np.float32)
    y = targets.token(label_activity(bank["labels"][:, 0], bank["labels"][:, 1], len(names)), words, SEEN)
    posterior_share = 0.5
    rest = y - posterior_share * x[:, vision.POOLED :] @ posterior
    w, b = ridge(x[:, : vision.POOLED], rest, 0.1)
    wa, ba = ridge(heard[0].astype(np.float32), targets.token(heard[1], words[: len(LABELS)], HEARD), 1e-4)
    values = {"pooled": w, "posterior": posterior_share * posterior.T, "vision_bias": b, "audio": wa, "audio_bias": ba}
    for name, value in values.items():
        getattr(adapters, name).copy_(torch.tensor(value, dtype=torch.float32))
