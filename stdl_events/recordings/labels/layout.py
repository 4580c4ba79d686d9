"""Class, subject, session and side of a recording by its path: `{session}/{subject}/{class}/*`."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from stdl_events.errors import DatasetError, RecipeError

FIELDS = ("class", "subject", "session", "split")
EXAMPLE = "{session}/{subject}/{class}/*"
_PARTS = re.compile(r"\{([^{}]*)\}|(\*\*/|\*\*|\*|\?)|([{}])|([^{}*?]+)")


@dataclass(frozen=True)
class _Part:
    """A part of a pattern: a field, a wildcard, or plain text."""

    text: str
    field: str | None = None
    is_wild: bool = False

    def ends(self, path: str, start: int) -> list[int]:
        """Return where the part may end that begins at `start`, in ascending order."""
        if self.is_wild and self.text == "?":
            return [start + 1] if path[start : start + 1] not in ("", "/") else []
        if self.is_wild and self.text == "**":
            return list(range(start, len(path) + 1))
        if self.is_wild and self.text == "**/":
            found, slash = [start], path.find("/", start)
            while slash > found[-1]:
                found.append(slash + 1)
                slash = path.find("/", slash + 1)
            return found
        if not self.is_wild and self.field is None:
            return [start + len(self.text)] if path.startswith(self.text, start) else []
        slash = path.find("/", start)
        stop = len(path) if slash < 0 else slash
        return list(range(start + (self.field is not None), stop + 1))


@dataclass(frozen=True)
class Layout:
    """A pattern of paths relative to the folder of the recordings.

    A field matches one or more characters of one part of the path, `*` any of one part, `**` any parts, `?` one
    character. A pattern that ends with a field matches paths without the suffix of the recording.

    Attributes:
        text: the pattern.
        fields: in their order.
    """

    text: str
    fields: tuple[str, ...]
    _parts: tuple[_Part, ...]

    @classmethod
    def parse(cls, text: str) -> "Layout":
        """Parse a pattern.

        Raises:
            RecipeError: it has no field, an unknown one, or one twice.
        """
        fields: list[str] = []
        parts: list[_Part] = []
        for field, wild, brace, plain in _PARTS.findall(text.replace("\\", "/").removeprefix("./")):
            if brace:
                raise _odd(text, "a single brace", "close it")
            if wild:
                parts.append(_Part(wild, is_wild=True))
            elif plain:
                parts.append(_Part(plain))
            elif field not in FIELDS or field in fields:
                raise _odd(
                    text, f"{{{field}}} twice" if field in fields else f"the field {{{field}}}", "correct the field"
                )
            else:
                fields.append(field)
                parts.append(_Part(field, field))
        if not fields:
            raise _odd(text, "no field", "put one in braces")
        return cls(text, tuple(fields), tuple(parts))

    def match(self, path: str, stem: str) -> dict[str, str] | None:
        """Return the fields of a recording, or None if its path does not match.

        Args:
            path: relative, with forward slashes.
            stem: `path` without the suffix of the recording.

        Raises:
            DatasetError: it matches in several ways with different fields.
        """
        text = stem if self.text.endswith("}") else path
        reached = self._reached(text)
        if 0 not in reached[0]:
            return None
        found, other = (self._fields(text, reached, choose) for choose in (min, max))
        if found != other:
            field = next(field for field in self.fields if found[field] != other[field])
            raise DatasetError(
                path, got=f"the {field} {found[field]!r} or {other[field]!r} by the layout {self.text}",
                expected="one way to read it", todo="separate the fields by a slash or by a text that they do not hold",
            )  # fmt: skip
        return found

    def _reached(self, path: str) -> list[set[int]]:
        """Return where each part may begin so that all match to the end: no pattern takes exponential time."""
        starts = [{0}]
        for part in self._parts:
            starts.append({end for at in starts[-1] for end in part.ends(path, at)})
        reached = [starts[-1] & {len(path)}]
        for part, begins in zip(reversed(self._parts), reversed(starts[:-1]), strict=True):
            reached.append({at for at in begins if not reached[-1].isdisjoint(part.ends(path, at))})
        return reached[::-1]

    def _fields(self, path: str, reached: list[set[int]], choose: Callable[[Iterable[int]], int]) -> dict[str, str]:
        """Return the fields if each part ends at the smallest or largest position from which the rest matches."""
        at, found = 0, {}
        for part, ends in zip(self._parts, reached[1:], strict=True):
            end = choose([end for end in part.ends(path, at) if end in ends])
            if part.field is not None:
                found[part.field] = path[at:end]
            at = end
        return found


def check_layout(text: str) -> str:
    """Return `text` if it is a layout.

    Raises:
        RecipeError: see `Layout.parse`.
    """
    return Layout.parse(text).text


def _odd(text: str, got: str, todo: str) -> RecipeError:
    named = ", ".join(f"{{{field}}}" for field in FIELDS)
    return RecipeError(f"layout {text!r}", got=got, expected=f"fields of {named}, such as {EXAMPLE}", todo=todo)
