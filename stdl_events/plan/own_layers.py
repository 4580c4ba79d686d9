"""The peak of a block's step as a function of the peak of its auxiliary network.

A chain of layers with a peak of `rest` behind it has the peak `max(own, added + rest)`, and so does each of its ends,
see `Link`. Where layers can be run in several ways, a chain is the minimum of several such functions: a Pareto front of
links.
"""

from stdl_events.network.spec import NetworkSpec
from stdl_events.plan.cost import CostOf, LayerCost, Link, preceding_of
from stdl_events.plan.heads import Head


class OwnLayers:
    """The own layers of every block of one network; `costs` as in `HeadSearch`."""

    def __init__(self, spec: NetworkSpec, costs: tuple[CostOf, ...]) -> None:
        self._spec, self._costs, self._preceding = spec, costs, preceding_of(spec.layers)
        self._chains: dict[tuple[int, int, int, bool], list[Link]] = {}
        self._known: dict[tuple[int, bool], list[LayerCost]] = {}

    def working(self, start: int, stop: int, head: Head | None) -> int:
        """The peak of the step of block [start, stop) with auxiliary network `head`, None for the last block."""
        rest = 0 if head is None else head.working
        left = self._cost(len(self._spec.layers) - 1)[0].left if head is None else head.left
        return self._received(start) + min(link.before(rest) for link in self._chain(start, stop, left, first=True))

    def _chain(self, index: int, stop: int, left: int, *, first: bool = False) -> list[Link]:
        """The front of the links of layers [index, stop) in a block that ends there."""
        if index == stop:
            return [Link(0, 0)]
        key = (index, stop, left, first)
        if key not in self._chains:
            links = [
                Link(max(link.own, link.added + behind.own), link.added + behind.added)
                for link in self._links(index, stop, left, first=first)
                for behind in self._chain(index + 1, stop, left)
            ]
            self._chains[key] = _front(links)
        return self._chains[key]

    def _links(self, index: int, stop: int, left: int, *, first: bool) -> list[Link]:
        costs = self._cost(index, first=first)
        if index == len(self._spec.layers) - 1:
            return [Link.of(cost, held=first) for cost in costs]
        if stop == len(self._spec.layers):
            return [Link.of(cost, held=first, left=left) for cost in costs]
        waiting = self.output(stop)
        shared = [cost.shared if index == stop - 1 else 0 for cost in costs]
        return [
            Link.of(cost, held=first, waiting=waiting - less, left=left)
            for cost, less in zip(costs, shared, strict=True)
        ]

    def _received(self, start: int) -> int:
        return self.output(start) if start else self._cost(0, first=True)[0].input

    def output(self, stop: int) -> int:
        """Bytes of the output of layer `stop - 1`."""
        return self._cost(stop - 1, first=stop == 1)[0].output

    def _cost(self, index: int, *, first: bool = False) -> list[LayerCost]:
        if (index, first) not in self._known:
            place = self._spec.layers[index], not first, self._preceding[index]
            self._known[index, first] = [cost_of(*place) for cost_of in self._costs]
        return self._known[index, first]


def _front(links: list[Link]) -> list[Link]:
    kept: list[Link] = []
    for link in sorted(links, key=lambda link: (link.own, link.added)):
        if not kept or link.added < kept[-1].added:
            kept.append(link)
    return kept
