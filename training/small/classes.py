"""The classes the small model knows: a label, its pictures and its one sound effect.

Everything comes from the Debian package `tuxpaint-stamps-default`. A class has one recording; where the package has more than one
picture of it, the last one listed is held out of training and used in test scenes only.
"""

from dataclasses import dataclass
from pathlib import Path

STAMPS = Path("/usr/share/tuxpaint/stamps")


@dataclass(frozen=True)
class Class:
    label: str
    sound: str
    train_pictures: tuple[str, ...]
    test_pictures: tuple[str, ...]


def _class(label: str, stem: str, held_out: str | None = None, picture: str | None = None) -> Class:
    own = picture or f"{stem}.png"
    return Class(label, f"{stem}.ogg", (own,), (held_out,) if held_out else (own,))


_M, _B = "animals/mammals", "animals/birds"
CLASSES: tuple[Class, ...] = (
    _class("a frog", "animals/amphibians/frog", "animals/amphibians/frog-1.png"),
    _class("a blackbird", f"{_B}/blackbird"),
    _class("a crow", f"{_B}/crow"),
    _class("a cuckoo", f"{_B}/cuckoo"),
    _class("a duck", f"{_B}/duck"),
    _class("a hen", f"{_B}/hen", f"{_B}/chicken_profile.png"),
    _class("an owl", f"{_B}/owl"),
    _class("a penguin", f"{_B}/penguin", f"{_B}/little-penguin.png"),
    _class("a rooster", f"{_B}/rooster"),
    _class("a seagull", f"{_B}/seagull", f"{_B}/silver-gull.png"),
    _class("a toucan", f"{_B}/tucan"),
    _class("a turkey", f"{_B}/turkey"),
    _class("a bee", "animals/insects/bee", "animals/insects/bee.svg"),
    _class("a chimpanzee", f"{_M}/apes/chimp"),
    _class("a gorilla", f"{_M}/apes/gorilla"),
    _class("a dolphin", f"{_M}/aquatic/dolphin"),
    _class("an orca", f"{_M}/aquatic/orca"),
    _class("a whale", f"{_M}/aquatic/whale"),
    _class("a bear", f"{_M}/bears/bear", f"{_M}/bears/european-bear.png"),
    _class("a cow", f"{_M}/bovines/cow", f"{_M}/bovines/cow_white.png"),
    _class("a goat", f"{_M}/bovines/goat"),
    _class("a sheep", f"{_M}/bovines/sheep"),
    _class("a camel", f"{_M}/camel/camel"),
    _class("a lion", f"{_M}/cats/lion", f"{_M}/cats/lion-2.png"),
    _class("a tiger", f"{_M}/cats/tiger", f"{_M}/cats/tiger_sumatran.png"),
    _class("a deer", f"{_M}/deer/deer"),
    _class("a dog", f"{_M}/dogs/dog"),
    _class("a fox", f"{_M}/dogs/fox"),
    _class("an elephant", f"{_M}/elephant"),
    _class("a donkey", f"{_M}/equines/donkey", f"{_M}/equines/donkey_eating.png"),
    _class("a horse", f"{_M}/equines/horse"),
    _class("a zebra", f"{_M}/equines/zebra", f"{_M}/equines/zebra2.svg"),
    _class("a pig", f"{_M}/pig", f"{_M}/pig_golden.png"),
    _class("a mouse", f"{_M}/rodents/mouse"),
    _class("a rabbit", f"{_M}/rodents/rabbit", f"{_M}/rodents/rabbit-2.png"),
    _class("a squirrel", f"{_M}/rodents/squirrel"),
    _class("a koala", "animals/marsupials/koala"),
    _class("a black cat", "seasonal/halloween/blackcat"),
    _class("a drum kit", "hobbies/music/percussion/drumkit"),
    _class("a cymbal", "hobbies/music/percussion/cymbal_crash"),
    _class("a cello", "hobbies/music/string/cello"),
    _class("a violin", "hobbies/music/string/violin", "hobbies/music/string/violin2.svg"),
    _class("a bassoon", "hobbies/music/wind/bassoon"),
    _class("a washing machine", "household/Washing-machine", picture="household/Washing-machine.svg"),
    _class("a vacuum cleaner", "household/vacuum_cleaner", picture="household/vacuum_cleaner.svg"),
    _class("a saw", "household/tools/saw"),
    _class("a toilet", "household/toilet"),
    _class("a fire truck", "vehicles/emergency/firetruck", "vehicles/emergency/cartoon/fire_engine.png"),
)
LABELS: tuple[str, ...] = tuple(c.label for c in CLASSES)
INDEX: dict[str, int] = {label: i for i, label in enumerate(LABELS)}


def decor(split: str) -> list[Path]:
    """Pictures of things that are no class, for clutter; disjoint between the splits."""
    found = sorted(p for d in ("clothes", "food", "sports", "town/flags", "space/planets") for p in (STAMPS / d).rglob("*.png"))
    return [p for i, p in enumerate(found) if (i % 4 == 3) == (split == "test")]


def speech(split: str) -> list[Path]:
    """Spoken picture descriptions, for unlabelled talk in the background; the splits have different languages."""
    languages = {"train": ("es", "fr", "ro", "el"), "test": ("bg", "ca")}[split]
    return sorted(p for lang in languages for p in STAMPS.rglob(f"*_desc_{lang}.ogg") if "symbols" not in p.parts)
