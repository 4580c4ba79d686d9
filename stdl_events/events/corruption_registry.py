"""The registry of corruptions: the names of `stdl-events evaluate --robustness`."""

from typing import TYPE_CHECKING

from stdl_events.errors import RecipeError
from stdl_events.registry import Registry

if TYPE_CHECKING:
    from stdl_events.events.corruptions import Corruption

_MODULE = "stdl_events.events.corruptions"
# The word for all kinds.
ALL = "all"

CORRUPTIONS: "Registry[Corruption]" = Registry(
    "corruption",
    RecipeError,
    {
        "drop": f"{_MODULE}:DROP",
        "noise": f"{_MODULE}:NOISE",
        "hot_pixels": f"{_MODULE}:HOT_PIXELS",
        "jitter": f"{_MODULE}:JITTER",
        "shift": f"{_MODULE}:SHIFT",
        "speed": f"{_MODULE}:SPEED",
        "contrast": f"{_MODULE}:CONTRAST",
    },
    reserved=(ALL,),
)


def parse_corruptions(text: str) -> dict[str, tuple[float, ...]]:
    """Parse `all`, or kinds such as `drop,noise=0.5+2`, to the levels of each kind; without any, those of the kind.

    Raises:
        RecipeError: a kind is unknown or named twice, or a level is no number or outside the limits of its kind.
    """
    if text.strip() == ALL:
        return {name: CORRUPTIONS[name].levels for name in CORRUPTIONS.names}
    found: dict[str, tuple[float, ...]] = {}
    for word in text.split(","):
        name, _, levels = word.strip().partition("=")
        if CORRUPTIONS.check(name) in found:
            raise RecipeError(
                f"corruption {name!r}", got="a second time", expected="each kind once",
                todo=f"give all its levels at once, as in {name}=1+2",
            )  # fmt: skip
        given = tuple(_level(name, level) for level in levels.split("+")) if levels else CORRUPTIONS[name].levels
        found[name] = tuple(map(CORRUPTIONS[name].check, given))
    return found


def _level(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise RecipeError(
            f"corruption {name!r}", got=f"the level {text!r}", expected=f"numbers, as in {name}=1+2", todo="correct it"
        ) from None
