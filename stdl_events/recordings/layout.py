"""Class, subject, session and side of a recording by its path: `{session}/{subject}/{class}/*`."""

import re
from dataclasses import dataclass

from stdl_events.errors import DatasetError, RecipeError

FIELDS = ("class", "subject", "session", "split")
EXAMPLE = "{session}/{subject}/{class}/*"
_PARTS = re.compile(r"\{([^{}]*)\}|(\*\*/|\*\*|\*|\?)|([{}])|([^{}*?]+)")
# Repeated parts: the shortest or the longest match is taken.
_WILD = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*"}


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
    _shortest: re.Pattern[str]
    _longest: re.Pattern[str]

    @classmethod
    def parse(cls, text: str) -> "Layout":
        """Parse a pattern.

        Raises:
            RecipeError: it has no field, an unknown one, or one twice.
        """
        fields: list[str] = []
        pattern: list[tuple[str, bool]] = []  # (part, whether it is repeated)
        for field, wild, brace, plain in _PARTS.findall(text.replace("\\", "/").removeprefix("./")):
            if brace:
                raise _odd(text, "a single brace", "close it")
            if wild:
                pattern.append((_WILD.get(wild, "[^/]"), wild in _WILD))
            elif plain:
                pattern.append((re.escape(plain), False))
            elif field not in FIELDS or field in fields:
                raise _odd(
                    text, f"{{{field}}} twice" if field in fields else f"the field {{{field}}}", "correct the field"
                )
            else:
                fields.append(field)
                pattern += [(f"(?P<_{field}>[^/]+", True), (")", False)]
        if not fields:
            raise _odd(text, "no field", "put one in braces")
        shortest, longest = (
            re.compile("".join(part + lazy * is_repeated for part, is_repeated in pattern), re.DOTALL)
            for lazy in ("?", "")
        )
        return cls(text, tuple(fields), shortest, longest)

    def match(self, path: str, stem: str) -> dict[str, str] | None:
        """Return the fields of a recording, or None if its path does not match.

        Args:
            path: relative, with forward slashes.
            stem: `path` without the suffix of the recording.

        Raises:
            DatasetError: it matches in several ways with different fields.
        """
        text = stem if self.text.endswith("}") else path
        first, last = self._shortest.fullmatch(text), self._longest.fullmatch(text)
        if first is None or last is None:
            return None
        found, other = ({field: match[f"_{field}"] for field in self.fields} for match in (first, last))
        if found != other:
            field = next(field for field in self.fields if found[field] != other[field])
            raise DatasetError(
                path, got=f"the {field} {found[field]!r} or {other[field]!r} by the layout {self.text}",
                expected="one way to read it", todo="separate the fields by a slash or by a text that they do not hold",
            )  # fmt: skip
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
