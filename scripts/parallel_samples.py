"""What `avicuna train --export` leaves: settings, sequences, the rows of their pictures and sounds, and the adapters that these go through."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file

# Places of a sequence that are no text, and which file holds their rows.
PLACES = {"visual": -1, "audio": -2}
NOTHING = -100


class Problem(Exception):
    """Something that whoever started this can mend; it names the file."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """stage.json; see docs/training.md for what the settings mean."""

    stage: int
    seed: int
    epochs: int
    batch: int
    accumulation: int
    lr: float
    schedule: str
    warm_up: float
    floor: float
    clip: float | None
    weight_decay: float
    betas: list
    lora: dict
    hidden: int
    layers: int
    vocabulary: int
    merged: int
    visual: int | None
    audio: int | None
    adapters: str
    # Of the whole stage. Without it, samples whose every epoch was cut off at the same step would pass for all.
    steps: int | None = None

    @classmethod
    def read(cls, path: Path) -> "Stage":
        values = read_json(path)
        for field in dataclasses.fields(cls):
            if field.name not in values and field.default is dataclasses.MISSING:
                raise Problem(f"{path}: `{field.name}` is missing")
            kind = field.type | int if field.type in (float, float | None) else field.type
            value = values.get(field.name)
            if (field.name in values and not isinstance(value, kind)) or isinstance(value, bool):
                raise Problem(f"{path}: `{field.name}` is {value!r}")
        if values["epochs"] < 1:
            raise Problem(f"{path}: `epochs` is {values['epochs']}")
        lora = values["lora"]
        for key in ("r", "alpha", "dropout"):
            if not isinstance(lora.get(key), int | float):
                raise Problem(f"{path}: `lora.{key}` is {lora.get(key)!r}")
        if values["schedule"] not in ("constant", "cosine"):
            raise Problem(f"{path}: `schedule` is {values['schedule']!r}; it is constant or cosine")
        return cls(**{field.name: values[field.name] for field in dataclasses.fields(cls) if field.name in values})

    def rate(self, done: int, steps: int) -> float:
        """The learning rate of step `done + 1` of `steps`, as `rate` of training/trainer/src/stages/optimizer.rs has it."""
        warm = math.ceil(self.warm_up * steps)
        if done < warm:
            return self.lr * (done + 1) / warm
        if self.schedule == "constant":
            return self.lr
        progress = min((done - warm) / max(steps - warm, 1), 1.0)
        return self.lr * (self.floor + (1.0 - self.floor) * (0.5 + 0.5 * math.cos(math.pi * progress)))


@dataclasses.dataclass(slots=True)
class Sequence:
    """Where a sequence lies; what it holds is read when it is learnt."""

    id: str
    epoch: int
    line: int
    offset: int
    length: int
    labels: int
    # The first of its rows in each file.
    rows: dict[str, int]


class Batch(NamedTuple):
    tokens: torch.Tensor  # [sequences, longest]
    mask: torch.Tensor  # [sequences, longest]
    labels: torch.Tensor  # [sequences, longest]
    visual: torch.Tensor  # [places, hidden]
    audio: torch.Tensor  # [places, hidden]


class Samples:
    """What `avicuna train --export` left, checked as a whole before anything is learnt."""

    def __init__(self, folder: Path, vocabulary: int) -> None:
        self.folder = folder
        self.vocabulary = vocabulary
        self.stage = Stage.read(folder / "stage.json")
        self.files: list[Any] = []
        self.rows: list[dict[str, np.ndarray]] = []
        self.steps: list[list[Sequence]] = []
        for epoch in range(self.stage.epochs):
            self._read_epoch(epoch)

    def path(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch}.jsonl"

    def _read_epoch(self, epoch: int) -> None:
        path = self.path(epoch)
        first, offset = len(self.steps), 0
        taken = dict.fromkeys(PLACES, 0)
        last: dict[str, list[Sequence]] = {sense: [] for sense in PLACES}
        self.files.append(opened(path))
        for number, text in enumerate(self.files[epoch], 1):
            try:
                sample = json.loads(text)
                name, step, tokens, labels = (sample[key] for key in ("id", "step", "tokens", "labels"))
                tokens, labels = whole_numbers(tokens), whole_numbers(labels)
            except (ValueError, TypeError, KeyError, OverflowError) as error:
                raise Problem(f"{path}:{number}: no sequence with id, step, tokens and labels: {error}") from None
            if reason := self._wrong(tokens, labels):
                raise Problem(f"{path}:{number}: {name}: {reason}")
            here = len(self.steps) - 1
            # A step does not reach from one epoch into the next.
            if step != here + 1 and (step != here or here < first):
                raise Problem(f"{path}:{number}: {name}: step {step} after step {here}; steps begin at 0 and leave out none")
            if step == here + 1:
                self.steps.append([])
            sequence = Sequence(name, epoch, number, offset, len(tokens), int((labels != NOTHING).sum()), dict(taken))
            self.steps[-1].append(sequence)
            for sense, mark in PLACES.items():
                if count := int((tokens == mark).sum()):
                    taken[sense] += count
                    last[sense].append(sequence)
            offset += len(text)
        for step in self.steps[first:]:
            if not any(sequence.labels for sequence in step):
                raise Problem(f"{path}:{step[-1].line}: the step that ends here has no label")
        if len(self.steps) == first:
            raise Problem(f"{path}: holds no sequence")
        # Every epoch has all samples, and so as many steps as the others.
        each = self.stage.steps // self.stage.epochs if self.stage.steps else first // epoch if epoch else len(self.steps)
        if len(self.steps) != first + each:
            raise Problem(f"{path}:{number}: ends after {len(self.steps) - first} steps; an epoch has {each}")
        self.rows.append({sense: self._read_rows(epoch, sense, taken[sense], last[sense]) for sense in PLACES if getattr(self.stage, sense)})

    def _wrong(self, tokens: np.ndarray, labels: np.ndarray) -> str | None:
        if len(tokens) == 0 or len(tokens) != len(labels):
            return f"{len(tokens)} tokens and {len(labels)} labels"
        for place in np.flatnonzero((tokens >= self.vocabulary) | (tokens < min(PLACES.values()))):
            return f"token {tokens[place]} at place {place}; the base knows those below {self.vocabulary}"
        for sense, mark in PLACES.items():
            if not getattr(self.stage, sense) and (tokens == mark).any():
                return f"a place for a row of {sense}, which stage.json has not"
        for place in np.flatnonzero((labels != NOTHING) & ((labels < 0) | (labels >= self.vocabulary))):
            return f"label {labels[place]} at place {place}; the base knows those below {self.vocabulary}"
        if labels[0] != NOTHING:
            return "a label at place 0, before which there is nothing to predict it from"
        return None

    def _read_rows(self, epoch: int, sense: str, taken: int, users: list[Sequence]) -> np.ndarray:
        path = self.folder / f"epoch-{epoch}.{sense}.npy"
        opened(path).close()
        try:
            rows = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise Problem(f"{path}: is no array of rows: {error}") from None
        dim = getattr(self.stage, sense)
        if rows.ndim != 2 or rows.shape[1] != dim or rows.dtype not in (np.float32, np.float16):
            raise Problem(f"{path}: is {rows.dtype} of shape {list(rows.shape)}, not f32 or f16 of [n, {dim}]")
        if len(rows) < taken:
            short = next(before for before, after in zip(users, [*users[1:], None]) if after is None or after.rows[sense] > len(rows))
            raise Problem(f"{self.path(epoch)}:{short.line}: {short.id}: {path.name} has {len(rows)} rows, which end here; {taken} places take one")
        if len(rows) > taken:
            raise Problem(f"{path}: has {len(rows)} rows, and {self.path(epoch).name} places for {taken}")
        return rows

    def batch(self, sequences: list[Sequence], adapters: dict[str, "Adapter"], hidden: int, device: torch.device) -> Batch:
        """Sequences side by side, filled up on the right."""
        shape = (len(sequences), max(sequence.length for sequence in sequences))
        tokens, labels, mask = np.zeros(shape, np.int64), np.full(shape, NOTHING), np.zeros(shape, np.int64)
        rows: dict[str, list[np.ndarray]] = {sense: [] for sense in PLACES}
        for index, sequence in enumerate(sequences):
            file = self.files[sequence.epoch]
            file.seek(sequence.offset)
            sample = json.loads(file.readline())
            tokens[index, : sequence.length] = sample["tokens"]
            labels[index, : sequence.length] = sample["labels"]
            mask[index, : sequence.length] = 1
            for sense, stored in self.rows[sequence.epoch].items():
                start = sequence.rows[sense]
                rows[sense].append(stored[start : start + sample["tokens"].count(PLACES[sense])])
        embedded = {sense: torch.zeros(0, hidden, device=device) for sense in PLACES}
        for sense, adapter in adapters.items():
            embedded[sense] = adapter(np.concatenate(rows[sense]).astype(np.float32))
        return Batch(*(torch.from_numpy(array).to(device) for array in (tokens, mask, labels)), **embedded)


class Adapter:
    """A frozen linear layer from a sense's features to the LLM's rows, in f32 whatever the LLM is in."""

    def __init__(self, path: Path, tensors: dict[str, torch.Tensor], sense: str, shape: list[int], device: torch.device) -> None:
        self.tensors = []
        for name, wanted in ((f"{sense}.weight", shape), (f"{sense}.bias", shape[:1])):
            if name not in tensors or list(tensors[name].shape) != wanted:
                there = f"is {list(tensors[name].shape)}" if name in tensors else "is missing"
                raise Problem(f"{path}: `{name}` {there}; stage.json wants {wanted}")
            self.tensors.append(tensors[name].to(device, torch.float32))

    def __call__(self, rows: np.ndarray) -> torch.Tensor:
        return F.linear(torch.from_numpy(rows).to(self.tensors[0].device), *self.tensors)


def opened(path: Path) -> Any:
    try:
        return path.open("rb")
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}") from None


def read_json(path: Path) -> dict[str, Any]:
    with opened(path) as file:
        try:
            values = json.load(file)
        except ValueError as error:
            raise Problem(f"{path}: is no JSON: {error}") from None
    if not isinstance(values, dict):
        raise Problem(f"{path}: is no JSON object")
    return values


def whole_numbers(values: list[int]) -> np.ndarray:
    numbers = np.asarray(values)
    if numbers.ndim != 1 or (len(numbers) and numbers.dtype.kind != "i"):
        raise ValueError("tokens and labels are lists of whole numbers")
    return numbers.astype(np.int64)


def read_adapters(samples: Samples, hidden: int, device: torch.device) -> dict[str, Adapter]:
    stage = samples.stage
    if stage.hidden != hidden:
        raise Problem(f"{samples.folder / 'stage.json'}: `hidden` is {stage.hidden}, and the base's {hidden}")
    senses = [sense for sense in PLACES if getattr(stage, sense)]
    if not senses:
        return {}
    path = samples.folder / stage.adapters
    opened(path).close()
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise Problem(f"{path}: is no safetensors file: {error}") from None
    return {sense: Adapter(path, tensors, sense, [hidden, getattr(stage, sense)], device) for sense in senses}
