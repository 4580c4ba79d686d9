"""Networks described as data for the references, from which `notation` writes the library's text."""

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Pool:
    kernel: int
    stride: int
    padding: int = 0

    def __str__(self) -> str:
        return f"AP(k{self.kernel}s{self.stride}p{self.padding})"


@dataclasses.dataclass(frozen=True)
class Part:
    """One layer: poolings, a body, poolings. A kind is C, S, R, SEWR, NFR or FC."""

    kind: str
    width: int
    kernel: int = 3
    stride: int = 1
    before: tuple[Pool, ...] = ()
    after: tuple[Pool, ...] = ()

    def __str__(self) -> str:
        stride = f"(s{self.stride})" if self.kind != "FC" else ""
        kernel = str(self.kernel) if self.kind in ("C", "S") else ""
        return "-".join([*map(str, self.before), f"{self.width}{self.kind}{kernel}{stride}", *map(str, self.after)])


@dataclasses.dataclass(frozen=True)
class Block:
    """Layers [start, stop) of the network, and the layers of the auxiliary network, none for the last block."""

    start: int
    stop: int
    auxiliary: tuple[Part, ...] = ()


def notation(parts: Sequence[Part]) -> str:
    return "-".join(map(str, parts))
