"""The paper's plans: as printed, within the paper's memory ratios, and compared with the planner's."""

import dataclasses
import functools
import json

import pytest
from typer.testing import CliRunner

from stdl_events.build import build_learner
from stdl_events.cli import app
from stdl_events.errors import NotationError, PlanError, UserError
from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.losses import InstantaneousLoss
from stdl_events.learning.optimizers import OptimizerSpec
from stdl_events.learning.rules import get_rule
from stdl_events.memory.choose_plan import Planner
from stdl_events.network.spec import NetworkSpec
from stdl_events.network.zoo import get_network
from stdl_events.plan.cost import LayerCost, working_bytes
from stdl_events.plan.presets import paper_cuts

# STDL, Table VIII as printed, block by block; the illegible end of SEW-ResNet-34's last block is a ResNet-34's.
TABLE_VIII = {
    "resnet18": [
        ("64C3-64R", "AP(k2s2)-256R(s2)-512R(s2)-512R-10FC"),
        ("64R-128R(s2)", "256R(s2)-512R(s2)-10FC"),
        ("128R-256R(s2)-256R-512R(s2)-512R-10FC", None),
    ],
    "resnet19": [
        ("128C3-128R", "256R(s2)-512R(s2)-100FC"),
        ("128R-128R", "AP(k2s2)-512R(s2)-100FC"),
        ("256R(s2)-256R-256R-512R(s2)-512R-100FC", None),
    ],
    "vgg16": [
        ("64C3", "AP(k16s16)-512C3-10FC"),
        ("64C3-AP(k2s2)-128C3", "AP(k8s8)-512C3-10FC"),
        (
            "128C3-AP(k2s2)-256C3-256C3-256C3-AP(k2s2)-512C3-512C3-512C3-AP(k2s2)-512C3-512C3-512C3-10FC",
            None,
        ),
    ],
    "sew-resnet34": [
        ("64C3-AP(k3s2p1)-64SEWR-64SEWR-64SEWR", "AP(k4s4)-512SEWR(s2)-512SEWR(s1)-512SEWR(s1)-1000FC"),
        (
            "128SEWR(s2)-128SEWR-128SEWR-128SEWR-256SEWR(s2)-256SEWR-256SEWR-256SEWR-256SEWR-256SEWR"
            "-512SEWR(s2)-512SEWR-512SEWR-1000FC",
            None,
        ),
    ],
}
INPUTS = {"resnet18": (3, 32, 32), "resnet19": (3, 32, 32), "vgg16": (3, 32, 32), "sew-resnet34": (3, 224, 224)}
CLASSES = {"resnet18": 10, "resnet19": 100, "vgg16": 10, "sew-resnet34": 1000}
# STDL, Table II: GB of STDL over GB of SLTT, 512 sequences.
PAPER_RATIO = {"resnet18": 0.72, "resnet19": 0.67, "vgg16": 0.72, "sew-resnet34": 0.74}


def same_layers(notation: str, other: str, shape: tuple[int, int, int]) -> bool:
    specs = [NetworkSpec.parse(text, input_shape=shape) for text in (notation, other)]
    return specs[0].layers == specs[1].layers


@functools.cache
def plain_planner(name: str) -> Planner:
    spec = get_network(name, input_shape=INPUTS[name], classes=CLASSES[name])
    blueprint = Blueprint(
        spec, get_rule("stdl"), 512, 4, loss=InstantaneousLoss(), optimizer=OptimizerSpec(), memory="plain"
    )
    return Planner(blueprint)


@pytest.mark.parametrize("name", TABLE_VIII)
def test_cuts_are_those_of_table_viii(name):
    spec = get_network(name, input_shape=INPUTS[name], classes=CLASSES[name])
    cuts = paper_cuts(spec)
    assert [cut.start for cut in cuts] == [0, *(cut.stop for cut in cuts[:-1])]
    for cut, (subnetwork, auxiliary) in zip(cuts, TABLE_VIII[name], strict=True):
        front = spec.layers[cut.start].input_shape
        assert same_layers(spec.slice(cut.start, cut.stop).notation, subnetwork, front)
        if auxiliary is None:
            assert cut.auxiliary is None
        else:
            assert same_layers(cut.auxiliary.notation, auxiliary, spec.layers[cut.stop].input_shape)


@pytest.mark.parametrize("name", TABLE_VIII)
@pytest.mark.parametrize(("shape", "classes"), [((2, 128, 128), 20), ((2, 65, 48), 300)])
def test_any_frames_and_classes(name, shape, classes):
    spec = get_network(name, input_shape=shape, classes=classes)
    cuts = paper_cuts(spec)
    assert [cut.stop for cut in cuts][:-1] == [cut.stop for cut in paper_cuts(plain_spec(name))][:-1]
    for cut in cuts[:-1]:
        assert cut.auxiliary.classes == classes
        assert cut.auxiliary.input_shape == spec.layers[cut.stop].input_shape


def plain_spec(name: str) -> NetworkSpec:
    return get_network(name, input_shape=INPUTS[name], classes=CLASSES[name])


def test_another_network_has_no_paper_plan():
    with pytest.raises(PlanError) as caught:
        paper_cuts(NetworkSpec.parse("8C3-8R-10FC", input_shape=(2, 8, 8)))
    assert str(caught.value) == (
        "paper's plan: got the network 8C3-8R-10FC; expected one of the paper's: ResNet-18, ResNet-19, VGG16, "
        "SEW-ResNet-34; give a budget or a share instead, and let the planner cut this network"
    )
    with pytest.raises(PlanError, match="paper's plan"):
        build_learner(NetworkSpec.parse("8C3-8R-10FC", input_shape=(2, 8, 8)), batch_size=2, steps=2, plan="paper")


def test_frames_that_are_too_small_for_the_papers_poolings_are_told():
    spec = get_network("sew-resnet34", input_shape=(2, 6, 64), classes=10)
    with pytest.raises(NotationError, match=r"AP4: got an input of 64x3x32; expected at least 4 pixels"):
        paper_cuts(spec)


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE_VIII)
def test_in_plain_mode_the_papers_plan_needs_the_papers_share(name):
    planner = plain_planner(name)
    plan = planner.with_cuts(paper_cuts(planner.blueprint.spec))
    assert plan.rho == pytest.approx(PAPER_RATIO[name], abs=0.06)
    for block in plan.blocks:
        assert block.predicted_bytes == pytest.approx(block.metered_bytes, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE_VIII)
def test_at_the_papers_share_no_more_blocks_and_no_shallower_auxiliaries(name):
    planner = plain_planner(name)
    budget = round(PAPER_RATIO[name] * planner.whole_bytes)
    plan = planner.within(budget)
    assert plan.total_bytes <= budget
    assert len(plan.blocks) <= len(TABLE_VIII[name])
    for block, (_, published) in zip(plan.blocks[:-1], TABLE_VIII[name], strict=False):
        front = planner.blueprint.spec.layers[block.stop].input_shape
        ours = NetworkSpec.parse(block.auxiliary, input_shape=front)
        paper = NetworkSpec.parse(published, input_shape=(64, 64, 64))
        assert len(ours.layers) >= len(paper.layers)
        assert block.predicted_bytes == pytest.approx(block.metered_bytes, rel=0.05)


@pytest.mark.parametrize(
    ("notation", "norm"),
    [
        # The currents between norm-free blocks are freed once the next block has run.
        ("16S3-16NFR-16NFR-32NFR(s2)-32NFR-10FC", "ws"),
        ("16S3-AP2-32NFB-32NFB-32NFB-64NFB(s2)-64NFB-10FC", "ws"),
        ("8C3-DP(0.2)-AP2-16C3-DP(0.2)-16C3-AP2-64FC-32FC-10FC", "none"),
    ],
)
def test_the_model_holds_for_currents_and_dropout(notation, norm):
    spec = NetworkSpec.parse(notation, input_shape=(2, 24, 24), norm=norm)
    blueprint = Blueprint(
        spec, get_rule("stdl"), 64, 4, loss=InstantaneousLoss(), optimizer=OptimizerSpec(), memory="plain"
    )
    plan = Planner(blueprint).smallest()
    assert len(plan.blocks) > 1
    for block in plan.blocks:
        assert block.predicted_bytes == pytest.approx(block.metered_bytes, rel=0.01)


def test_released_input_counts_until_the_layer_has_moved_on():
    layer = LayerCost(input=10, forward=12, saved=12, backward=5, fixed=0, output=10)
    released = dataclasses.replace(layer, released=10)
    # The caller holds the chain's own input, so only tensors between its layers are freed.
    assert working_bytes([layer, layer, layer]) == 10 + 3 * 12 + 5
    assert working_bytes([released, released, released]) == 10 + 12 + 2 + 12 + 5
    assert working_bytes([released, released], border=1) == 10 + 2 * 12 + 5 + 10


def test_a_learner_is_built_on_the_papers_plan():
    spec = get_network("resnet18", input_shape=(2, 16, 16), classes=3)
    learner = build_learner(spec, batch_size=2, steps=2, plan="paper")
    assert [block.subnetwork.spec.notation for block in learner.blocks] == [
        "64C3-64R",
        "64R-128R(s2)",
        "128R-256R(s2)-256R-512R(s2)-512R-3FC",
    ]
    auxiliaries = [block.auxiliary and block.auxiliary.spec.notation for block in learner.blocks]
    assert auxiliaries == ["AP2-256R(s2)-512R(s2)-512R-3FC", "256R(s2)-512R(s2)-3FC", None]
    assert learner.plan.budget_bytes is None
    assert learner.plan.rho == learner.plan.total_bytes / learner.plan.whole_bytes


def test_the_command_prints_the_papers_plan_and_draws_it(tmp_path):
    chart = tmp_path / "plan.png"
    options = ["--network", "vgg16", "--input", "2x32x32", "--classes", "5", "--batch", "8", "--plan", "paper"]
    result = CliRunner().invoke(app, ["plan", *options, "--plain", "--chart", str(chart), "--json"])
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert [(block["subnetwork"], block["auxiliary"]) for block in document["blocks"]] == [
        ("64C3", "AP16-512C3-5FC"),
        ("64C3-AP2-128C3", "AP8-512C3-5FC"),
        ("128C3-AP2-256C3-256C3-256C3-AP2-512C3-512C3-512C3-AP2-512C3-512C3-512C3-5FC", None),
    ]
    assert document["total_bytes"] == max(block["metered_bytes"] for block in document["blocks"])
    assert document["rho"] == pytest.approx(document["total_bytes"] / document["whole_bytes"])
    assert chart.read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["plan.png"]
    table = CliRunner().invoke(app, ["plan", *options, "--plain"])
    assert table.exit_code == 0
    assert "block 3" in table.stdout
    assert "64C3-AP2" in table.stdout


def test_a_chart_needs_its_folder(tmp_path):
    options = ["--network", "4C3-4C3", "--input", "2x8x8", "--classes", "2", "--batch", "2"]
    with pytest.raises(UserError, match="expected a folder that exists; make the folder first"):
        CliRunner().invoke(app, ["plan", *options, "--chart", str(tmp_path / "no" / "c.png")], catch_exceptions=False)
