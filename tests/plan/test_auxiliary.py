"""Auxiliary networks: every subset of later layers, pooling for skipped down-sampling, the paper's own."""

import itertools

import pytest

from stdl_events.network.spec import LayerSpec, NetworkSpec
from stdl_events.network.zoo import get_network
from stdl_events.plan.auxiliary import auxiliary_candidates, build_auxiliary, depth_limit

SEW_RESNET34 = (
    "64C3-AP(k3s2p1)-64SEWR-64SEWR-64SEWR-128SEWR(s2)-128SEWR-128SEWR-128SEWR-256SEWR(s2)-256SEWR-256SEWR-256SEWR"
    "-256SEWR-256SEWR-512SEWR(s2)-512SEWR-512SEWR-1000FC"
)


def spec_of(name: str, classes: int) -> NetworkSpec:
    if name == "sew-resnet34":
        return NetworkSpec.parse(SEW_RESNET34, input_shape=(3, 224, 224))
    return get_network(name, input_shape=(3, 32, 32), classes=classes)


@pytest.mark.parametrize(
    ("name", "classes", "stop", "chosen", "published"),
    [
        ("resnet18", 10, 2, (5, 7, 8), "AP(k2s2)-256R(s2)-512R(s2)-512R-10FC"),
        ("resnet18", 10, 4, (5, 7), "256R(s2)-512R(s2)-10FC"),
        ("resnet19", 100, 2, (4, 7), "256R(s2)-512R(s2)-100FC"),
        ("resnet19", 100, 4, (7,), "AP(k2s2)-512R(s2)-100FC"),
        ("vgg16", 10, 1, (12,), "AP(k16s16)-512C3-10FC"),
        ("vgg16", 10, 3, (12,), "AP(k8s8)-512C3-10FC"),
        ("sew-resnet34", 1000, 4, (14, 15, 16), "AP(k4s4)-512SEWR(s2)-512SEWR(s1)-512SEWR(s1)-1000FC"),
    ],
)
def test_the_papers_auxiliary_networks(name, classes, stop, chosen, published):
    """STDL, Table VIII: its layers, built from the corresponding layers of the network."""
    spec = spec_of(name, classes)
    auxiliary = build_auxiliary(spec, stop, chosen)
    shape = spec.layers[stop].input_shape
    assert auxiliary == NetworkSpec.parse(published, input_shape=shape)
    assert auxiliary in auxiliary_candidates(spec, stop, depth=len(chosen))


def behind_body(layer: LayerSpec) -> tuple[int, int, int]:
    """The shape of a layer's neurons, in front of the poolings that follow them."""
    return layer.shape_before(layer.ops.index(layer.body) + 1)


@pytest.mark.parametrize("name", ["resnet18", "resnet19", "vgg16", "vgg11"])
def test_every_layer_keeps_the_resolution_that_it_has_in_the_network(name):
    spec = get_network(name, input_shape=(3, 32, 32), classes=10)
    checked = 0
    for stop in range(1, len(spec.layers) - 1):
        for depth in (1, 2):
            for chosen in itertools.combinations(range(stop, len(spec.layers) - 1), depth):
                auxiliary = build_auxiliary(spec, stop, chosen)
                for layer, index in zip(auxiliary.layers, chosen, strict=False):
                    assert behind_body(layer) == behind_body(spec.layers[index])
                    checked += 1
                assert auxiliary.layers[-1].ops == spec.layers[-1].ops
    assert checked > 100


def test_pooling_never_exceeds_the_picture():
    spec = NetworkSpec.parse("4C3-AP2-4C3(s2)-4C3(s2)-6C3(s2)-8C3-3FC", input_shape=(2, 8, 12))
    auxiliary = build_auxiliary(spec, 1, (4,))
    assert auxiliary.notation == "AP4-8C3-3FC"
    assert auxiliary.layers[0].output_shape == (8, 1, 1)


def test_a_subset_that_runs_out_of_pixels_is_no_candidate():
    """Down-sampling 3 pixels gives 2 by a stride and 1 by pooling, too few for the next pooling."""
    spec = NetworkSpec.parse("4C3-4R(s2)-5C3-AP2-6C3-3FC", input_shape=(2, 3, 3))
    candidates = auxiliary_candidates(spec, 1, depth=1)
    assert [candidate.notation for candidate in candidates] == ["AP3-6C3-3FC", "4R(s2)-3FC"]


@pytest.mark.parametrize("notation", ["4C3-5R-5R-6R(s2)-6R-7C3-3FC", "4C3-4C3-4C3-4C3-4C3-3FC", "4C3-AP2-5C3-9FC-3FC"])
@pytest.mark.parametrize("stop", [1, 2])
def test_candidates_are_all_subsets_widest_first(notation, stop):
    spec = NetworkSpec.parse(notation, input_shape=(2, 16, 16))
    limit = depth_limit(spec, stop)
    assert limit == len(spec.layers) - 1 - stop
    for depth in range(1, limit + 1):
        subsets = itertools.combinations(range(stop, len(spec.layers) - 1), depth)
        expected = {build_auxiliary(spec, stop, chosen).notation for chosen in subsets}
        candidates = auxiliary_candidates(spec, stop, depth=depth)
        assert {candidate.notation for candidate in candidates} == expected
        assert len(candidates) == len(expected), "each only once"
        assert all(len(candidate.layers) == depth + 1 for candidate in candidates)
        widths = [sum(layer.body.channels for layer in candidate.layers) for candidate in candidates]
        assert widths == sorted(widths, reverse=True)


def test_an_auxiliary_network_has_the_networks_neuron_and_norm():
    spec = get_network("resnet18", input_shape=(3, 32, 32), classes=10).with_settings({"decay": 0.6}, "ws")
    auxiliary = build_auxiliary(spec, 2, (5,))
    assert (auxiliary.neuron, auxiliary.norm) == (spec.neuron, spec.norm)
    assert auxiliary.input_shape == spec.layers[2].input_shape
