"""`Registry`: the only list of a kind of choice, such as neurons, losses or datasets.

Settings, commands, help texts, documentation and tests enumerate the registry, so an entry is added in one place. An
unknown name is an error, never a default.
"""

import difflib
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Generic, TypeVar, cast

from stdl_events.errors import UserError

Entry = TypeVar("Entry")


class Registry(Mapping[str, Entry], Generic[Entry]):
    """Entries by name, in the order in which they were registered.

    Args:
        kind: the entries' kind in the singular, for messages: "neuron".
        error: raised for an unknown name.
        entries: built-in entries. A string "module:attribute" is imported at the first access, so that names can be
            listed without importing torch.
        reserved: names with another meaning, which no entry may have.
    """

    def __init__(
        self, kind: str, error: type[UserError], entries: Mapping[str, Entry | str], reserved: tuple[str, ...] = ()
    ) -> None:
        self.kind, self._error, self._reserved = kind, error, reserved
        self._entries: dict[str, Entry | str] = dict(entries)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, without importing any entry."""
        return tuple(self._entries)

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
            UserError: there is no entry of that name.
        """
        del self._entries[self.check(name)]

    def check(self, name: object) -> str:
        """Return `name` if an entry has it.

        Raises:
            UserError: no entry has it; the message lists the names and suggests the nearest.
        """
        if isinstance(name, str) and name in self._entries:
            return name
        near = difflib.get_close_matches(name, self._entries, n=1) if isinstance(name, str) else []
        raise self._error(
            self.kind,
            got=repr(name),
            expected=" or ".join(self._entries),
            todo=f"did you mean {near[0]!r}?" if near else "choose one of these",
        )

    def __getitem__(self, name: str) -> Entry:
        entry = self._entries[self.check(name)]
        if isinstance(entry, str):
            module, _, attribute = entry.partition(":")
            entry = self._entries[name] = cast(Entry, getattr(import_module(module), attribute))
        return entry

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
