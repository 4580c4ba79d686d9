"""Trained models that come with the package: `models:NAME` wherever an exported file is taken.

`models.json` describes each file; both are written by `tests/benchmarks/make_models.py`, which anybody can run again.
"""

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from stdl_events.errors import ModelError
from stdl_events.whole_file import whole_file

PREFIX = "models:"
FACTS_FILE = "models.json"


@dataclass(frozen=True)
class ShippedModel:
    """A trained model in the package.

    Attributes:
        name: after `models:`.
        file: its name in the package.
        task: what it recognises, in words.
        classes: in the order of its outputs.
        recipe: by which it was trained.
        split: which recordings were held out, in words.
        held_out_clips, held_out_accuracy: of the exported file.
        bytes, sha256: of the file.
        data: the recordings that it was trained on.
        data_licence: theirs.
        licence: of the file.
        made: date and commit of the program that wrote it, and versions of packages.
    """

    name: str
    file: str
    task: str
    classes: tuple[str, ...]
    recipe: str
    split: str
    held_out_clips: int
    held_out_accuracy: float
    bytes: int
    sha256: str
    data: str
    data_licence: str
    licence: str
    made: dict[str, Any]

    @property
    def path(self) -> Path:
        """The file in the package."""
        return Path(__file__).parent / self.file


@cache
def shipped_models() -> dict[str, ShippedModel]:
    """Return the models by name."""
    text = (Path(__file__).parent / FACTS_FILE).read_text(encoding="utf-8")
    rows = json.loads(text)["models"]
    return {row["name"]: ShippedModel(**row | {"classes": tuple(row["classes"])}) for row in rows}


def shipped_model(name: str) -> ShippedModel:
    """Return the model `name`, with or without `models:`.

    Raises:
        ModelError: there is none.
    """
    models = shipped_models()
    found = models.get(name.removeprefix(PREFIX))
    if found is None:
        raise ModelError(
            f"model {name!r}", got="no such model in the package", expected=f"one of {', '.join(models)}",
            todo="see stdl-events models",
        )  # fmt: skip
    return found


def model_path(model: str | os.PathLike[str]) -> Path:
    """Return the path of an exported model; `models:NAME` is one of the package.

    Raises:
        ModelError: there is no such model in the package.
    """
    text = os.fspath(model)
    return shipped_model(text).path if text.startswith(PREFIX) else Path(text)


def copy_model(name: str, out: Path) -> None:
    """Copy a model of the package to the file `out`, replacing an older one.

    Raises:
        ModelError: there is no such model, or `out` cannot be written.
    """
    content = shipped_model(name).path.read_bytes()
    with whole_file(out, room_for="model", error=ModelError) as file:
        file.write(content)
