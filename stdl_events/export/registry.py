"""The kinds of file that a network is exported to, by the suffix of their names. No torch until an entry is used."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from stdl_events.errors import ModelError
from stdl_events.registry import Registry

if TYPE_CHECKING:
    from stdl_events.export.agreement import Agreement

# The arguments of `export_onnx` -> the agreement of the written file with the network. It raises VerificationError and
# keeps no file if they disagree, and ModelError for a network that the kind of file cannot hold.
Exporter: TypeAlias = "Callable[..., Agreement]"

EXPORTERS: "Registry[Exporter]" = Registry(
    "suffix of an exported file",
    ModelError,
    {"onnx": "stdl_events.export.onnx:export_onnx", "nir": "stdl_events.export.nir:export_nir"},
)


def kind_of(path: Path) -> str:
    """The name in `EXPORTERS` that the suffix of `path` states.

    Raises:
        ModelError: there is none.
    """
    return EXPORTERS.check(path.suffix.removeprefix("."))
