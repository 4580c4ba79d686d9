"""`Registry`: the only list of a kind of choice, such as neurons, losses or datasets.

Settings, commands, help texts, documentation and tests enumerate the registry, so an entry is added in one place. An
unknown name is an error, never a default.
"""

import difflib
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Generic, Protocol, TypeVar, cast

from stdl_events.errors import UserError

Entry = TypeVar("Entry")
Member = TypeVar("Member", covariant=True)


class Family(Protocol[Member]):
    """Entries of another package, named `prefix:NAME`, that exist where it is installed.

    Attributes:
        placeholder: what stands for NAME in messages.
        summary: one line without a full stop.
        names: the names, without importing the entries. Raises MissingExtraError if the package is not installed.
    """

    @property
    def placeholder(self) -> str: ...

    @property
    def summary(self) -> str: ...

    @property
    def names(self) -> tuple[str, ...]: ...

    def __getitem__(self, name: str, /) -> Member: ...


class Registry(Mapping[str, Entry], Generic[Entry]):
    """Entries by name, in the order in which they were registered.

    Args:
        kind: the entries' kind in the singular, for messages: "neuron".
        error: raised for an unknown name.
        entries: built-in entries. A string "module:attribute" is imported at the first access, so that names can be
            listed without importing torch.
        reserved: names with another meaning, which no entry may have.
        families: "module:attribute" of a `Family` by its prefix. Its members are found by name, and not iterated over.
    """

    def __init__(
        self,
        kind: str,
        error: type[UserError],
        entries: Mapping[str, Entry | str],
        reserved: tuple[str, ...] = (),
        families: Mapping[str, str] | None = None,
    ) -> None:
        self.kind, self._error, self._reserved = kind, error, reserved
        self._entries: dict[str, Entry | str] = dict(entries)
        self._own = set(entries)
        self._families = dict(families or {})

    @property
    def names(self) -> tuple[str, ...]:
        """All names, without importing any entry."""
        return tuple(self._entries)

    @property
    def families(self) -> dict[str, Family[Entry]]:
        """Families by the form of their names, such as "tonic:CLASS"."""
        found = {prefix: cast(Family[Entry], _imported(name)) for prefix, name in self._families.items()}
        return {f"{prefix}:{family.placeholder}": family for prefix, family in found.items()}

    @property
    def choices(self) -> tuple[str, ...]:
        """All names, and the forms of the names of families."""
        return (*self.names, *self.families)

    def register(self, name: str, entry: Entry) -> Entry:
        """Add an entry and return it.

        Raises:
            UserError: the name is taken or reserved.
        """
        if name in self._entries or name in self._reserved:
            got = "a second entry of that name" if name in self._entries else "a name that means something else"
            raise self._error(f"{self.kind} {name!r}", got=got, expected="a new name", todo="rename it")
        self._entries[name] = entry
        return entry

    def unregister(self, name: str) -> None:
        """Remove an entry.

        Raises:
            UserError: there is no entry of that name, or it is of a family.
        """
        if name not in self._entries:
            raise self._unknown(name, self.names, self.names)
        del self._entries[name]
        self._own.discard(name)

    def is_built_in(self, name: str) -> bool:
        """True if the entry of this name is the package's own."""
        return name in self._own

    def check(self, name: object) -> str:
        """Return `name` if an entry has it.

        Raises:
            UserError: no entry has it; the message lists the names and suggests the nearest.
            MissingExtraError: it is of a family whose package is not installed.
        """
        if isinstance(name, str) and name in self._entries:
            return name
        known, expected = self.names, self.choices
        family = self._family_of(name)
        if isinstance(name, str) and family is not None:
            prefix = name.partition(":")[0]
            known = expected = tuple(f"{prefix}:{member}" for member in family.names)
            if name in known:
                return name
        raise self._unknown(name, known, expected)

    def _unknown(self, name: object, known: tuple[str, ...], expected: tuple[str, ...]) -> UserError:
        near = _nearest(name, known) if isinstance(name, str) else None
        return self._error(
            self.kind,
            got=repr(name),
            expected=" or ".join(expected),
            todo=f"did you mean {near!r}?" if near else "choose one of these",
        )

    def _family_of(self, name: object) -> Family[Entry] | None:
        prefix, colon, _ = name.partition(":") if isinstance(name, str) else ("", "", "")
        return cast(Family[Entry], _imported(self._families[prefix])) if colon and prefix in self._families else None

    def __getitem__(self, name: str) -> Entry:
        self.check(name)
        family = self._family_of(name)
        if family is not None and name not in self._entries:
            return family[name.partition(":")[2]]
        entry = self._entries[name]
        if isinstance(entry, str):
            entry = self._entries[name] = cast(Entry, _imported(entry))
        return entry

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _imported(name: str) -> object:
    """Import "module:attribute"."""
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


def _nearest(name: str, known: tuple[str, ...]) -> str | None:
    """Return the name most like `name` but for upper and lower case; None if none is like it."""
    folded = {other.casefold(): other for other in reversed(known)}
    near = difflib.get_close_matches(name.casefold(), folded, n=1)
    return folded[near[0]] if near else None
