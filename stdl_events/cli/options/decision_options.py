"""The options of what a model's prediction must reach to be believed: of a live run, and of an exported model."""

from typing import TYPE_CHECKING, Annotated

import typer

from stdl_events.errors import UserError

if TYPE_CHECKING:
    from stdl_events.model_card import DecisionThresholds

UnknownBelowOption = Annotated[
    float | None,
    typer.Option(
        "--unknown-below", min=0, max=1, metavar="P", help="Below this probability of the best class, it is unknown."
    ),
]
StillBelowOption = Annotated[
    float | None,
    typer.Option(
        "--still-below", min=0, metavar="EVENTS/S", help="Below this rate in the model's picture, nothing is there."
    ),
]
HoldOption = Annotated[
    int | None,
    typer.Option("--hold", min=1, metavar="CLIPS", help="Something new must be seen in so many clips in a row."),
]
DecideAtOption = Annotated[
    str | None,
    typer.Option(
        "--decide-at",
        metavar="P|none",
        help="Decide a clip before its end, as soon as the best class has this probability.",
    ),
]


def thresholds_from(
    card: "DecisionThresholds | None",
    unknown_below: float | None,
    still_below: float | None,
    hold: int | None,
    decide_at: str | None,
) -> "DecisionThresholds | None":
    """Return the thresholds of a model's card, replaced by those that are given; None if there are none.

    Args:
        decide_at: a number as text; "none" removes the card's.

    Raises:
        UserError: a value is no number, or outside its range.
    """
    from pydantic import ValidationError

    from stdl_events.model_card import DecisionThresholds
    from stdl_events.validation import first_problem

    given = {"unknown_below": unknown_below, "still_below": still_below, "hold": hold, "decide_at": decide_at}
    changes: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    if decide_at == "none":
        changes["decide_at"] = None
    if not changes:
        return card
    try:
        return DecisionThresholds.model_validate({**(card.model_dump() if card else {}), **changes})
    except ValidationError as error:
        problem = first_problem(error)
        raise UserError(
            f"--{problem.where.replace('_', '-')}", got=problem.got, expected=problem.expected, todo="correct it"
        ) from None
