"""The notation: printing inverts parsing, shapes equal torch's, and errors describe valid text."""

import json
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from stdl_events.errors import NotationError
from stdl_events.network.spec import NetworkSpec, NeuronSpec, Op

# STDL, Table VIII, as printed there; the second text is this package's short form of the same layers.
TABLE_VIII = [
    ("64C3-64R", "64C3-64R"),
    ("AP(k2s2)-256R(s2)-512R(s2)-512R-10FC", "AP2-256R(s2)-512R(s2)-512R-10FC"),
    ("64R-128R(s2)", "64R-128R(s2)"),
    ("256R(s2)-512R(s2)-10FC", "256R(s2)-512R(s2)-10FC"),
    ("128R-256R(s2)-256R-512R(s2)-512R-10FC", "128R-256R(s2)-256R-512R(s2)-512R-10FC"),
    ("AP(k2s2)-512R(s2)-100FC", "AP2-512R(s2)-100FC"),
    ("AP(k16s16)-512C3-10FC", "AP16-512C3-10FC"),
    ("64C3-AP(k2s2)-128C3", "64C3-AP2-128C3"),
    ("AP(k8s8)-512C3-10FC", "AP8-512C3-10FC"),
    ("64C3-AP(k3s2p1)-64SEWR-64SEWR-64SEWR", "64C3-AP(k3s2p1)-64SEWR-64SEWR-64SEWR"),
    (
        "AP(k4s4)-512SEWR(s2)-512SEWR(s1)-512SEWR(s1)-1000FC",
        "AP4-512SEWR(s2)-512SEWR-512SEWR-1000FC",
    ),
]

widths = st.integers(1, 12)
kernels = st.integers(1, 5)


@st.composite
def convolutions(draw: st.DrawFn) -> str:
    kernel = draw(kernels)
    options = draw(st.sampled_from(["", "(s2)", f"(p{kernel // 2})", "(p0)", "(s2p1)", "(p1s3)"]))
    return f"{draw(widths)}{draw(st.sampled_from('CS'))}{kernel}{options}"


@st.composite
def poolings(draw: st.DrawFn) -> str:
    kernel = draw(kernels)
    padding = draw(st.integers(0, kernel // 2))
    form = draw(st.sampled_from(["AP{k}", "AP(k{k})", "AP(k{k}s{s})", "AP(k{k}s{s}p{p})", "AP{k}(p{p})"]))
    return form.format(k=kernel, s=draw(st.integers(1, 3)), p=padding)


strides = st.sampled_from(["", "(s1)", "(s2)"])
blocks = st.one_of(
    st.builds("{}{}{}".format, widths, st.sampled_from(["R", "SEWR", "NFR"]), strides),
    st.builds("{}NFB{}".format, widths.map(lambda width: 4 * width), strides),
)
dropouts = st.floats(0, 1, exclude_max=True, allow_subnormal=False).map(lambda p: f"DP({p:.17f})")
bodies = st.one_of(convolutions(), blocks)
fillers = st.one_of(poolings(), dropouts)


@st.composite
def networks(draw: st.DrawFn) -> str:
    tokens = draw(st.lists(fillers, max_size=1))
    for _ in range(draw(st.integers(1, 4))):
        tokens += [draw(bodies), *draw(st.lists(fillers, max_size=2))]
    tokens += [f"{draw(widths)}FC" for _ in range(draw(st.integers(0, 2)))]
    return "-".join(tokens)


neurons = st.builds(
    NeuronSpec,
    kind=st.sampled_from(["lif", "plif", "alif"]),
    decay=st.floats(0, 1, exclude_max=True),
    threshold=st.floats(0.1, 3),
    reset=st.sampled_from(["soft", "hard"]),
    surrogate=st.sampled_from(["triangle", "rectangle", "sigmoid"]),
    surrogate_width=st.floats(0.1, 4),
    adaptation=st.floats(0, 1),
    adaptation_decay=st.floats(0, 1, exclude_max=True),
)
shapes = st.tuples(st.integers(1, 3), st.integers(1, 34), st.integers(1, 34))


def parse_if_it_fits(notation: str, shape: tuple[int, int, int], **settings: object) -> NetworkSpec:
    """Reject the example if the random layers do not fit into the random frame or the norm."""
    try:
        return NetworkSpec.parse(notation, input_shape=shape, **settings)
    except NotationError as error:
        if "pixels in each direction" not in str(error) and "one input per output" not in str(error):
            raise
        reject()


@settings(max_examples=150)
@given(networks(), shapes)
def test_what_is_printed_parses_to_the_same_network(notation, shape):
    spec = parse_if_it_fits(notation, shape)
    again = NetworkSpec.parse(spec.notation, input_shape=shape)
    assert again == spec
    assert again.notation == spec.notation


@settings(max_examples=60)
@given(networks(), shapes, neurons, st.sampled_from(["batch", "ws", "none"]), st.sampled_from([0.1, 0.01, 1.0]))
def test_a_document_reads_back_through_json(notation, shape, neuron, norm, momentum):
    spec = parse_if_it_fits(notation, shape, neuron=neuron, norm=norm, norm_momentum=momentum)
    assert NetworkSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def torch_shape(op: Op, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """The shape behind `op` by torch's own operators."""
    x = torch.empty((1, *shape), device="meta")
    if op.kind == "AP":
        return tuple(F.avg_pool2d(x, op.kernel, op.stride, op.padding).shape[1:])
    if op.kind == "DP":
        return shape
    if op.kind == "FC":
        return (op.channels, 1, 1)
    kernel, padding = (op.kernel, op.padding) if op.kind in ("C", "S") else (3, 1)
    weight = torch.empty((op.channels, shape[0], kernel, kernel), device="meta")
    return tuple(F.conv2d(x, weight, stride=op.stride, padding=padding).shape[1:])


@settings(max_examples=150)
@given(networks(), shapes)
def test_shapes_are_those_of_torch(notation, shape):
    spec = parse_if_it_fits(notation, shape)
    for layer in spec.layers:
        assert layer.input_shape == shape
        for op in layer.ops:
            shape = torch_shape(op, shape)
        assert layer.output_shape == shape
    assert spec.output_shape == shape


@pytest.mark.parametrize(("published", "printed"), TABLE_VIII)
def test_table_viii_reads_and_prints(published, printed):
    spec = NetworkSpec.parse(published, input_shape=(64, 32, 32))
    assert spec.notation == printed


def test_a_layer_owns_the_poolings_and_dropouts_that_follow_it():
    spec = NetworkSpec.parse("AP2-DP(0.1)-4C3-AP(k3s2p1)-DP(0.5)-8R(s2)-20FC-DP(0.2)-10FC", input_shape=(2, 34, 30))
    assert [str(layer) for layer in spec.layers] == [
        "AP2-DP(0.1)-4C3-AP(k3s2p1)-DP(0.5)",
        "8R(s2)",
        "20FC-DP(0.2)",
        "10FC",
    ]
    assert [layer.output_shape for layer in spec.layers] == [(4, 9, 8), (8, 5, 4), (20, 1, 1), (10, 1, 1)]
    assert [str(layer.body) for layer in spec.layers] == ["4C3", "8R(s2)", "20FC", "10FC"]
    assert spec.classes == 10
    assert spec.slice(0, 2).classes is None
    assert spec.slice(1, 3).input_shape == (4, 9, 8)


@pytest.mark.parametrize(
    ("notation", "got", "expected"),
    [
        ("", "''", "something like 64C3-AP2-128R(s2)-10FC"),
        ("64C3--10FC", "''", "something like 64C3-AP2-128R(s2)-10FC"),
        ("64c3-10FC", "'64c3'", "something like 64C3-AP2-128R(s2)-10FC"),
        ("64NFX-10FC", "'64NFX'", "something like 64C3-AP2-128R(s2)-10FC"),
        ("66NFB-10FC", "'66NFB'", "a bottleneck with a multiple of 4 channels, such as 256NFB"),
        ("C3", "'C3'", "a positive number of channels or outputs, none before AP and DP"),
        ("0C3", "'0C3'", "a positive number of channels or outputs, none before AP and DP"),
        ("3AP2", "'3AP2'", "a positive number of channels or outputs, none before AP and DP"),
        ("64C", "'64C'", "one kernel size and a positive stride, such as 64C3, AP2 or AP(k3s2p1)"),
        ("64C3(k3)", "'64C3(k3)'", "one kernel size and a positive stride, such as 64C3, AP2 or AP(k3s2p1)"),
        ("64C3(s0)", "'64C3(s0)'", "one kernel size and a positive stride, such as 64C3, AP2 or AP(k3s2p1)"),
        ("4C3(p12)", "'4C3(p12)'", "a padding of at most p11: outputs beyond it see no input"),
        ("9999999999C3", "'9999999999C3'", "something like 64C3-AP2-128R(s2)-10FC"),
        ("4C3-AP0", "'AP0'", "one kernel size and a positive stride, such as 64C3, AP2 or AP(k3s2p1)"),
        ("4C3-AP(k2p2)", "'AP(k2p2)'", "a padding of at most half the kernel, such as AP(k3s2p1)"),
        ("64C3(s2s2)", "'64C3(s2s2)'", "options k (kernel), s (stride) and p (padding), each once, such as (k3s2p1)"),
        ("64C3(d2)", "'64C3(d2)'", "options k (kernel), s (stride) and p (padding), each once, such as (k3s2p1)"),
        ("64R3", "'64R3'", "a block with no option but a positive stride, such as 128R(s2)"),
        ("64R(p1)", "'64R(p1)'", "a block with no option but a positive stride, such as 128R(s2)"),
        ("64SEWR(s0)", "'64SEWR(s0)'", "a block with no option but a positive stride, such as 128R(s2)"),
        ("10FC(s2)", "'10FC(s2)'", "a classifier without options, such as 10FC"),
        ("10FC3", "'10FC3'", "a classifier without options, such as 10FC"),
        ("4C3-DP", "'DP'", "a dropout probability from 0 to below 1, such as DP(0.5)"),
        ("4C3-DP(1)", "'DP(1)'", "a dropout probability from 0 to below 1, such as DP(0.5)"),
        ("4C3-DP(nan)", "'DP(nan)'", "a dropout probability from 0 to below 1, such as DP(0.5)"),
        ("4C3-DP(half)", "'DP(half)'", "a dropout probability from 0 to below 1, such as DP(0.5)"),
        ("AP2-DP(0.5)", "'AP2-DP(0.5)'", "at least one layer with weights"),
        ("20FC-4C3-10FC", "'4C3'", "only fully connected layers behind a fully connected layer"),
        ("4C3-10FC-DP(0.5)", "'10FC-DP(0.5)'", "nothing behind the classifier"),
    ],
)
def test_wrong_notation_is_one_line_with_what_would_be_right(notation, got, expected):
    with pytest.raises(NotationError) as caught:
        NetworkSpec.parse(notation, input_shape=(2, 8, 8))
    assert str(caught.value) == f"network notation: got {got}; expected {expected}; correct this part of the notation"


def test_a_layer_that_does_not_fit_names_the_layer_and_the_picture():
    with pytest.raises(NotationError) as caught:
        NetworkSpec.parse("4C3-AP4-8C3-AP(k4s2p1)-10FC", input_shape=(2, 7, 9))
    assert str(caught.value) == (
        "AP(k4s2p1): got an input of 8x1x2; expected at least 2 pixels in each direction; "
        "use fewer or smaller poolings, or larger frames"
    )


def test_a_kernel_may_reach_from_one_end_to_the_other():
    for notation, shape in (("4C15", (2, 8, 6)), ("4C11", (2, 2, 2)), ("4C3-AP8-4C3", (2, 8, 8))):
        assert NetworkSpec.parse(notation, input_shape=shape).notation == notation
    for notation, most in (("4C17", 15), ("AP(k17s1p8)-4C3", 15), ("4C3-AP4-4C13", 11)):
        with pytest.raises(NotationError, match=f"expected a kernel of at most {most}: all beyond it sees nothing but"):
            NetworkSpec.parse(notation, input_shape=(2, 8, 8))


@pytest.mark.parametrize("shape", [(2, 8), (2, 8, 8, 8), (2, 0, 8), (2, 8, -1), (2, 8.5, 8), ("2", 8, 8), 7])
def test_a_frame_has_three_positive_whole_numbers(shape):
    with pytest.raises(NotationError) as caught:
        NetworkSpec.parse("4C3-10FC", input_shape=shape)
    assert str(caught.value) == (
        f"input_shape: got {shape!r}; expected three positive numbers (C, H, W); "
        "give channels, height and width of one frame"
    )


@pytest.mark.parametrize(
    ("settings_", "text"),
    [
        ({"kind": "izhikevich"}, "neuron: got 'izhikevich'; expected lif or plif or alif; choose one of these"),
        ({"reset": "none"}, "reset: got 'none'; expected soft or hard; choose a reset"),
        (
            {"surrogate": "relu"},
            "surrogate: got 'relu'; expected triangle or rectangle or sigmoid; choose one of these",
        ),
        ({"decay": 1}, "decay: got 1; expected 0 <= decay < 1; change decay"),
        ({"decay": -0.1}, "decay: got -0.1; expected 0 <= decay < 1; change decay"),
        ({"decay": math.nan}, "decay: got nan; expected a finite number; change decay"),
        ({"threshold": "a"}, "threshold: got 'a'; expected a finite number; change threshold"),
        ({"threshold": 0.0}, "threshold: got 0.0; expected a positive number; change threshold"),
        ({"surrogate_width": -1.0}, "surrogate_width: got -1.0; expected a positive number; change surrogate_width"),
        (
            {"adaptation_decay": 1.0},
            "adaptation_decay: got 1.0; expected 0 <= adaptation_decay < 1; change adaptation_decay",
        ),
    ],
)
def test_wrong_neuron_settings_are_told(settings_, text):
    with pytest.raises(NotationError) as caught:
        NeuronSpec(**settings_)
    assert str(caught.value) == text


def test_with_settings_replaces_what_is_given_and_keeps_the_rest():
    spec = NetworkSpec.parse("4C3-3FC", input_shape=(2, 8, 8), neuron=NeuronSpec(decay=0.5, threshold=0.7))
    changed = spec.with_settings({"decay": 0.25, "threshold": None}, "ws")
    assert changed.layers == spec.layers
    assert changed.neuron == NeuronSpec(decay=0.25, threshold=0.7)
    assert (changed.norm, spec.with_settings({}).norm) == ("ws", "batch")
    with pytest.raises(NotationError, match="norm: got 'layer'; expected batch or ws or none; choose one of these"):
        spec.with_settings({}, "layer")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"neuron": None}, "got a document without a usable"),
        ({"neuron": {"decay": "fast"}}, "decay: got 'fast'; expected a finite number"),
        ({"neuron": {"spin": 1}}, "got a document without a usable"),
        ({"notation": 64}, "network notation: got 64"),
        ({"notation": "64X"}, "network notation: got '64X'"),
        ({"input_shape": [2, 8]}, "input_shape: got (2, 8)"),
        ({"input_shape": 28}, "input_shape: got 28"),
        ({"norm": "layer"}, "norm: got 'layer'"),
        ({"norm_momentum": 0}, "norm_momentum: got 0.0; expected 0 < norm_momentum <= 1"),
        ({"norm_momentum": math.nan}, "norm_momentum: got nan"),
        ({"norm_momentum": "slow"}, "got a document without a usable"),
    ],
)
def test_a_damaged_document_is_a_notation_error(change, text):
    document = NetworkSpec.parse("4C3-3FC", input_shape=(2, 8, 8)).to_dict()
    with pytest.raises(NotationError) as caught:
        NetworkSpec.from_dict(document | change)
    assert text in str(caught.value)


@pytest.mark.parametrize("key", ["notation", "input_shape", "neuron", "norm"])
def test_a_document_without_a_key_names_it(key):
    document = NetworkSpec.parse("4C3-3FC", input_shape=(2, 8, 8)).to_dict()
    del document[key]
    with pytest.raises(NotationError) as caught:
        NetworkSpec.from_dict(document)
    assert str(caught.value) == (
        f"network description: got a document without a usable '{key}'; expected the keys notation, input_shape, "
        "neuron, norm; use a file that this version of stdl-events wrote"
    )
