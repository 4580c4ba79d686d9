"""The options that each kind of evaluation takes; one that has no effect is refused."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import typer

Kind: TypeAlias = Literal["file", "clips", "robustness", "whole"]
"""Of a model without its run; or of a run: its clips, its robustness, its whole recordings."""

_OF_A_RUN = frozenset({"--weights", "--model"})
_TAKES: dict[Kind, frozenset[str]] = {
    "file": frozenset(
        {
            "--dataset", "--labels", "--label-times", "--layout", "--format", "--sensor", "--stream", "--time-unit",
            "--columns", "--skip-bad", "--repair", "--provider", "--predictions",
        }
    ),
    "clips": _OF_A_RUN | {"--through", "--verify", "--baseline", "--device", "--predictions"},
    "robustness": _OF_A_RUN | {"--robustness", "--out", "--device"},
    "whole": _OF_A_RUN | {"--whole", "--unknown-below", "--still-below", "--hold", "--decide-at"},
}  # fmt: skip
_WITH: dict[Kind, str] = {
    "file": "of a model without its run",
    "clips": "of the clips of a run",
    "robustness": "with --robustness",
    "whole": "with --whole",
}
_WITHOUT: dict[Kind, str] = {
    "file": "of a run, which has a list of its recordings,",
    "robustness": "without --robustness",
    "whole": "without --whole",
}


def refuse_unused(kind: Kind, options: Mapping[str, object]) -> None:
    """Check that no option is given that has no effect.

    Args:
        options: values by name; None and False are not given.

    Raises:
        BadParameter: one is.
    """
    for name, value in options.items():
        if value is not None and value is not False and name not in _TAKES[kind]:
            raise typer.BadParameter(f"{_why(kind, name)} it has no effect; leave it out", param_hint=name)


def _why(kind: Kind, name: str) -> str:
    """Return which kind of evaluation alone would take the option, or that this one does not."""
    takers = [other for other, names in _TAKES.items() if name in names]
    if kind != "file" and len(takers) == 1:
        return _WITHOUT.get(takers[0], _WITH[kind])
    return _WITH[kind]
