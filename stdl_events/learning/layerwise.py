"""The blocks of rules that cut a network every few layers."""

from stdl_events.network.spec import NetworkSpec
from stdl_events.plan.partition import Cut


def layerwise_cuts(spec: NetworkSpec, layers: int) -> list[Cut]:
    """Blocks of `layers` layers, each with a classifier of the network's form; the last has the network's own."""
    last = len(spec.layers) - 1
    stops = [*range(layers, last, layers), last + 1]
    classifier = str(spec.layers[-1])
    return [
        Cut(start, stop, None if stop == last + 1 else spec.auxiliary(classifier, stop))
        for start, stop in zip([0, *stops], stops, strict=False)
    ]
