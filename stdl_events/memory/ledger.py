"""Ledger of storage lifetimes: when each storage was alive, its purpose, and the weight in use at each time.

The meter (`stdl_events.memory.meter`) records allocation, release and use as they happen. The purpose of a storage is
often known only later: when a gradient is found in its weight, or when a forward pass is over. Labels are therefore
given afterwards; a label holds from the allocation on unless it has a later tick.
"""

import bisect
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, zip_longest
from typing import Any, Literal, TypeAlias

from torch import Tensor

Kind: TypeAlias = Literal["weights", "gradients", "optimizer", "membrane", "saved", "other"]
KINDS: tuple[Kind, ...] = ("weights", "gradients", "optimizer", "membrane", "saved", "other")


@dataclasses.dataclass
class Life:
    """Lifetime of one storage, in ticks of the ledger's clock.

    Args:
        maker: name of the watched weight among the inputs of the operation that allocated it, None for none.
        labels: (first tick, purpose) in the order in which they were given.
    """

    size_bytes: int
    born: int
    maker: Any
    died: int | None = None
    labels: list[tuple[int, Kind]] = dataclasses.field(default_factory=list)

    def kind_at(self, tick: int) -> Kind:
        """Purpose at `tick`: the label with the latest first tick, the last given of equal ones."""
        held = [(since, order) for order, (since, _) in enumerate(self.labels) if since <= tick]
        return self.labels[max(held)[1]][1] if held else "other"


@dataclasses.dataclass
class _Use:
    """A run of operations on watched weights of one name, with none of another name in between."""

    name: Any
    first: int
    last: int


class Ledger:
    """Lifetimes of storages. Its clock ticks with every allocation, release and use of a watched weight.

    `clock` is the number of the last tick. Queries cover the time since `start`, with the storages alive at `start`.
    """

    def __init__(self) -> None:
        self.clock = 0
        self._storages: list[Life] = []
        self._alive: dict[int, Life] = {}
        self._names: dict[int, Any] = {}
        self._uses: list[_Use] = []
        self._in_use: Any = None
        self._divided = True
        self._started = 0

    def bear(self, key: int, size_bytes: int) -> None:
        """Record an allocation."""
        self.clock += 1
        self._alive[key] = storage = Life(size_bytes, self.clock, self._in_use)
        self._storages.append(storage)

    def die(self, key: int) -> None:
        """Record a release, or a storage that no longer counts."""
        storage = self._alive.pop(key, None)
        if storage is not None:
            self.clock += 1
            storage.died = self.clock

    def watch(self, tensor: Tensor, name: Any) -> None:
        """Record every operation on `tensor` or a view of it as a use of `name`."""
        self._names[tensor.untyped_storage()._cdata] = name

    def use(self, args: Iterable[Any]) -> None:
        """Record an operation with the inputs `args`."""
        self._in_use = None
        for argument in args:
            if isinstance(argument, Tensor):
                self._in_use = self._names.get(argument.untyped_storage()._cdata, self._in_use)
        if self._in_use is not None:
            self.clock += 1
            if self._divided or self._uses[-1].name is not self._in_use:
                self._divided = False
                self._uses.append(_Use(self._in_use, self.clock, self.clock))
            self._uses[-1].last = self.clock

    def start(self) -> None:
        """Start of the time in which the peak is searched."""
        self._started = self.clock
        self._uses.clear()
        self._divided = True

    def divide(self) -> int:
        """Start a new run of uses, separate from earlier ones. Returns its first tick."""
        self._divided = True
        return self.clock + 1

    def label(self, tensors: Iterable[Tensor], kind: Kind) -> None:
        """Label the storages of `tensors` from their allocation on."""
        for tensor in tensors:
            storage = self._alive.get(tensor.untyped_storage()._cdata)
            if storage is not None and (storage.born, kind) not in storage.labels:
                storage.labels.append((storage.born, kind))

    def succeed(self, before: Sequence["Life | None"], tensors: Sequence[Tensor]) -> list["Life | None"]:
        """Label `tensors` as membrane states that replace the states `before`, if there are any.

        A replaced state counts as a saved activation from then on.

        Returns:
            The lifetimes of `tensors`, the `before` of the next call.
        """
        lives = [self._alive.get(tensor.untyped_storage()._cdata) for tensor in tensors]
        for old, new in zip_longest(before, lives):
            if new is not None and not new.labels:
                new.labels.append((new.born, "membrane"))
            if old is not None and new is not None and old is not new:
                old.labels.append((new.born, "saved"))
        return lives

    def label_unlabelled(self, kind: Kind, *, born_after: int) -> None:
        """Label every unlabelled live storage that was allocated after the tick `born_after`."""
        for storage in self._alive.values():
            if storage.born > born_after and not storage.labels:
                storage.labels.append((storage.born, kind))

    def levels(self) -> Iterator[tuple[int, int]]:
        """Yield (tick, bytes alive from it on) for `start` and for every allocation and release since."""
        changes = [(storage.born, storage.size_bytes) for storage in self._storages]
        changes += [(storage.died, -storage.size_bytes) for storage in self._storages if storage.died is not None]
        changes.sort()
        alive = sum(change for tick, change in changes if tick <= self._started)
        yield self._started, alive
        for tick, change in changes:
            if tick > self._started:
                alive += change
                yield tick, alive

    def peak(self) -> tuple[int, int]:
        """The first tick since `start` with the most live bytes, and these bytes."""
        return max(self.levels(), key=lambda level: (level[1], -level[0]))

    def breakdown(self, tick: int) -> dict[Kind, int]:
        """Live bytes at `tick` by purpose."""
        found = dict.fromkeys(KINDS, 0)
        for storage in self._storages:
            if storage.born <= tick and (storage.died is None or storage.died > tick):
                found[storage.kind_at(tick)] += storage.size_bytes
        return found

    def user(self, tick: int, *, forward: bool) -> Any:
        """The name of the watched weight that the computation at `tick` belongs to, None where there is none.

        Operations without a weight belong to the weight used before them in forward, since neurons fire after their
        synapse, and to the weight used after them in backward.
        """
        born = next((storage for storage in self._storages if storage.born == tick), None)
        if born is not None and born.maker is not None:
            return born.maker
        index = bisect.bisect_right(self._uses, tick, key=lambda use: use.first) - 1
        if not forward and (index < 0 or self._uses[index].last < tick):
            index += 1
        return self._uses[index].name if 0 <= index < len(self._uses) else None

    def uses(self) -> Iterator[tuple[int, int, Any]]:
        """Yield (first tick, tick behind the last, name) of every run of operations from a watched weight on."""
        ends = chain((use.first for use in self._uses[1:]), [self.clock + 1])
        for use, end in zip(self._uses, ends, strict=True):
            yield use.first, end, use.name
