"""The zoo contains the papers' networks, and a user's own notation is parsed in the same way."""

import pytest

from stdl_events.errors import NotationError
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.spec import NetworkSpec
from stdl_events.network.zoo import get_network, list_networks, parse_network


@pytest.mark.parametrize("name", list_networks())
def test_every_network_ends_in_its_classifier_and_reads_back(name):
    spec = get_network(name, input_shape=(2, 64, 48), classes=7)
    assert spec.classes == 7
    assert spec.input_shape == (2, 64, 48)
    assert NetworkSpec.from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize(
    ("name", "subnetworks", "classes"),
    [
        ("resnet18", ["64C3-64R", "64R-128R(s2)", "128R-256R(s2)-256R-512R(s2)-512R-10FC"], 10),
        ("resnet19", ["128C3-128R", "128R-128R", "256R(s2)-256R-256R-512R(s2)-512R-100FC"], 100),
        (
            "vgg16",
            [
                "64C3",
                "64C3-AP(k2s2)-128C3",
                "128C3-AP(k2s2)-256C3-256C3-256C3-AP(k2s2)-512C3-512C3-512C3-AP(k2s2)-512C3-512C3-512C3-10FC",
            ],
            10,
        ),
        (
            "sew-resnet34",
            [
                "64C3-AP(k3s2p1)-64SEWR-64SEWR-64SEWR",
                "128SEWR(s2)-128SEWR-128SEWR-128SEWR-256SEWR(s2)-256SEWR-256SEWR-256SEWR",
                "256SEWR-256SEWR-512SEWR(s2)-512SEWR-512SEWR-1000FC",
            ],
            1000,
        ),
    ],
)
def test_networks_are_the_subnetworks_of_table_viii_joined(name, subnetworks, classes):
    joined = NetworkSpec.parse("-".join(subnetworks), input_shape=(3, 32, 32))
    assert get_network(name, input_shape=(3, 32, 32), classes=classes) == joined


def test_vgg11_is_the_network_of_the_event_papers():
    spec = get_network("vgg11", input_shape=(2, 48, 48), classes=10)
    assert [layer.body.channels for layer in spec.layers] == [64, 128, 256, 256, 512, 512, 512, 512, 10]
    assert [layer.output_shape[1] for layer in spec.layers[:-1]] == [48, 24, 24, 12, 12, 6, 6, 6]


def test_vgg11_ws_differs_in_its_norm_alone():
    batch, standardised = (get_network(name, input_shape=(2, 48, 48), classes=10) for name in ("vgg11", "vgg11-ws"))
    assert (batch.norm, standardised.norm) == ("batch", "ws")
    assert batch.layers == standardised.layers


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("lenet-1", ["6C5-AP2", "16C5-AP2", "120C5", "128FC", "10FC"]),
        ("lenet-2", ["64C5-AP2", "128C5-AP2", "128C5", "256FC", "10FC"]),
        (
            "alexnet",
            ["96C3(s2)", "256C3-AP2", "384C3-AP2", "512C3", "384C3", "256C3", "4096FC", "1024FC", "10FC"],
        ),
    ],
)
def test_networks_of_truncated_local_bptt_are_its_table_2(name, layers):
    spec = get_network(name, input_shape=(2, 32, 32), classes=10)
    assert [str(layer) for layer in spec.layers] == layers
    assert spec.norm == "none"


@pytest.mark.parametrize(
    ("name", "parameters", "blocks"),
    [("nf-resnet34", 21_797_672, 16), ("nf-resnet50", 25_557_032, 16), ("nf-resnet101", 44_549_160, 33)],
)
def test_norm_free_networks_have_the_parameters_of_the_resnets_they_come_from(name, parameters, blocks):
    """torchvision's counts: gain and bias replace batch norm's two; each block adds its SkipInit gain."""
    spec = get_network(name, input_shape=(3, 224, 224), classes=1000)
    network = SpikingNetwork.build(spec, device="meta")
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters + blocks
    assert [layer.body.kind for layer in spec.layers].count(spec.layers[1].body.kind) == blocks
    assert spec.layers[-1].input_shape[1:] == (7, 7)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(NotationError) as caught:
        get_network("alexnet9", input_shape=(2, 8, 8), classes=3)
    assert str(caught.value) == (
        f"network name: got 'alexnet9'; expected one of {', '.join(list_networks())}; choose one of these"
    )


def test_a_name_or_notation_with_or_without_a_classifier():
    shape = (2, 32, 32)
    assert parse_network("vgg11", input_shape=shape, classes=4) == get_network("vgg11", input_shape=shape, classes=4)
    assert parse_network("8C3-AP2", input_shape=shape, classes=4).notation == "8C3-AP2-4FC"
    assert parse_network("8C3-AP2-4FC", input_shape=shape, classes=4).notation == "8C3-AP2-4FC"


def test_a_classifier_of_another_size_is_told():
    with pytest.raises(NotationError) as caught:
        parse_network("8C3-10FC", input_shape=(2, 8, 8), classes=4)
    assert str(caught.value) == (
        "network notation: got a classifier with 10 outputs; expected 4, one for each class of the recordings; "
        "end the notation with 4FC, or leave the classifier out"
    )
