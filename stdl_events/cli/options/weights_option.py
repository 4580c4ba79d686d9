"""The option of every command that takes a network from a run's folder."""

from typing import TYPE_CHECKING, Annotated

import typer

from stdl_events.errors import UserError

if TYPE_CHECKING:
    from stdl_events.training.run_weights import Weights

WeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="best|last",
        help="Those of the epoch that is best on the validation part, or the last ones.  [default: best, with a "
        "validation part]",
    ),
]


def parse_weights(text: str | None) -> "Weights | None":
    """Return the option's value.

    Raises:
        UserError: it is another word.
    """
    if text is None:
        return None
    if text in ("best", "last"):
        return "best" if text == "best" else "last"
    raise UserError("--weights", got=repr(text), expected="best or last", todo="correct the option")
