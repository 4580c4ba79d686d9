"""A meter's book: which storages were alive when, what for, and which weight was being used.

The meter (`stdl_events.memory.meter`) records allocation, release and use as they happen. The purpose of a storage is
often only known later, when a gradient is found in its weight or a forward pass is over, so labels may come after the
fact: they hold from the allocation on unless they say otherwise.
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
    """One storage's life, in ticks of the ledger's clock.

    Args:
        maker: the name of the watched weight that the operation took whose result this is, None where it took none.
        labels: what it is for, and since when.
    """

    size_bytes: int
    born: int
    maker: Any
    died: int | None = None
    labels: list[tuple[int, Kind]] = dataclasses.field(default_factory=list)

    def kind_at(self, tick: int) -> Kind:
        """What it is for at `tick`: the label that holds since latest, of those the last one given."""
        held = [(since, order) for order, (since, _) in enumerate(self.labels) if since <= tick]
        return self.labels[max(held)[1]][1] if held else "other"


@dataclasses.dataclass
class _Use:
    """Operations that take watched weights of one name, without any of another name between them."""

    name: Any
    first: int
    last: int


class Ledger:
    """Lives of storages. Its clock ticks with every birth, death and use of a watched weight.

    `clock` is the number of the last tick. Nothing counts before `start`, except that what is alive then stays alive.
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
        """A storage is born."""
        self.clock += 1
        self._alive[key] = storage = Life(size_bytes, self.clock, self._in_use)
        self._storages.append(storage)

    def die(self, key: int) -> None:
        """A storage is gone, or counts no longer."""
        storage = self._alive.pop(key, None)
        if storage is not None:
            self.clock += 1
            storage.died = self.clock

    def watch(self, tensor: Tensor, name: Any) -> None:
        """Write down whenever an operation takes `tensor`, or a view of it, under `name`."""
        self._names[tensor.untyped_storage()._cdata] = name

    def use(self, args: Iterable[Any]) -> None:
        """An operation takes `args`."""
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
        """Look for the peak from here on."""
        self._started = self.clock
        self._uses.clear()
        self._divided = True

    def divide(self) -> int:
        """Something else begins: uses from here on are apart from those before. Returns its first tick."""
        self._divided = True
        return self.clock + 1

    def label(self, tensors: Iterable[Tensor], kind: Kind) -> None:
        """Say what the storages of `tensors` have been for since they were born."""
        for tensor in tensors:
            storage = self._alive.get(tensor.untyped_storage()._cdata)
            if storage is not None and (storage.born, kind) not in storage.labels:
                storage.labels.append((storage.born, kind))

    def succeed(self, before: Sequence["Life | None"], tensors: Sequence[Tensor]) -> list["Life | None"]:
        """Say that `tensors` are membrane states, and take the places of those that `before` were, if there are any.

        A state that another has taken the place of is no longer one; what keeps it then is somebody's backward.

        Returns:
            The lives of `tensors`, to be handed in when they are followed in turn.
        """
        lives = [self._alive.get(tensor.untyped_storage()._cdata) for tensor in tensors]
        for old, new in zip_longest(before, lives):
            if new is not None and not new.labels:
                new.labels.append((new.born, "membrane"))
            if old is not None and new is not None and old is not new:
                old.labels.append((new.born, "saved"))
        return lives

    def label_unlabelled(self, kind: Kind, *, born_after: int) -> None:
        """Say what everything that is alive and was born after a tick is for, where nothing else is known."""
        for storage in self._alive.values():
            if storage.born > born_after and not storage.labels:
                storage.labels.append((storage.born, kind))

    def levels(self) -> Iterator[tuple[int, int]]:
        """(tick, bytes alive from it on), for `start` and for every birth and death since."""
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
        """The tick since `start` at which most was alive, the first of equals, and how many bytes that was."""
        return max(self.levels(), key=lambda level: (level[1], -level[0]))

    def breakdown(self, tick: int) -> dict[Kind, int]:
        """What the bytes that were alive at `tick` were for."""
        found = dict.fromkeys(KINDS, 0)
        for storage in self._storages:
            if storage.born <= tick and (storage.died is None or storage.died > tick):
                found[storage.kind_at(tick)] += storage.size_bytes
        return found

    def user(self, tick: int, *, forward: bool) -> Any:
        """The name of the watched weight that the work at `tick` belongs to, None where there is none.

        Where the work does not take the weight itself: forward, neurons fire behind the weights that charge them;
        backward, their gradient comes in front of those of their weights.
        """
        born = next((storage for storage in self._storages if storage.born == tick), None)
        if born is not None and born.maker is not None:
            return born.maker
        index = bisect.bisect_right(self._uses, tick, key=lambda use: use.first) - 1
        if not forward and (index < 0 or self._uses[index].last < tick):
            index += 1
        return self._uses[index].name if 0 <= index < len(self._uses) else None

    def uses(self) -> Iterator[tuple[int, int, Any]]:
        """(first tick, tick behind the last, name) of every run of operations that begins with a watched weight."""
        ends = chain((use.first for use in self._uses[1:]), [self.clock + 1])
        for use, end in zip(self._uses, ends, strict=True):
            yield use.first, end, use.name
