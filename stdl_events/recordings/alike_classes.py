"""Classes or subjects whose names a person would take for one."""

import re
import warnings
from collections.abc import Iterable

from stdl_events.events.stream import RecordingWarning
from stdl_events.recordings.found_files import same_form

_SAID = 3


def say_alike(subject: str, names: Iterable[str], what: str = "classes", one: str = "class") -> None:
    """Warn of names that differ in case, blanks, `-`, `_` and zeros alone, as 01 and 1.0 do. They stay apart.

    Args:
        what, one: of what they are names, in words.
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        plain = re.sub(r"[\s_-]+", " ", same_form(name).casefold()).strip()
        groups.setdefault(re.sub(r"(?<![\d.])0+(?=\d)|(?<=\d)\.0+\Z", "", plain), []).append(name)
    alike = [names for names in groups.values() if len(names) > 1]
    if alike:
        pairs = "; ".join(" and ".join(map(repr, names)) for names in alike[:_SAID])
        more = f" and {len(alike) - _SAID} more" if len(alike) > _SAID else ""
        text = f"{subject}: {pairs}{more} are {what} of their own; give them one name if they are one {one}"
        warnings.warn(text, RecordingWarning, stacklevel=3)
