"""A model of random weights that answers at once, for measuring everything but a model."""

import shutil
from pathlib import Path

FIXTURES = Path(__file__).resolve().parent.parent / "tests/fixtures"


def tiny_model(folder: Path) -> Path:
    """Makes the directory of it in `folder`: the fixture lacks its language model, which other tests have too."""
    model = folder / "tiny-model"
    shutil.copytree(FIXTURES / "tiny-model", model)
    (model / "base").symlink_to(FIXTURES / "golden/tiny_avicuna/base")
    return model
