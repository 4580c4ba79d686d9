"""Classes whose names a person would take for one."""

import re
import warnings
from collections.abc import Iterable

from stdl_events.events.stream import RecordingWarning
from stdl_events.recordings.found_files import same_form

_SAID = 3


def say_alike(subject: str, classes: Iterable[str]) -> None:
    """Warn of classes whose names differ in case, blanks, `-` and `_` alone. They stay apart: a and A may be two."""
    groups: dict[str, list[str]] = {}
    for name in classes:
        groups.setdefault(re.sub(r"[\s_-]+", " ", same_form(name).casefold()).strip(), []).append(name)
    alike = [names for names in groups.values() if len(names) > 1]
    if alike:
        pairs = "; ".join(" and ".join(map(repr, names)) for names in alike[:_SAID])
        more = f" and {len(alike) - _SAID} more" if len(alike) > _SAID else ""
        text = f"{subject}: {pairs}{more} are classes of their own; give them one name if they are one class"
        warnings.warn(text, RecordingWarning, stacklevel=3)
