"""A plan as data: JSON there and back, totals, and invalid documents."""

import dataclasses
import json

import pytest

from stdl_events.errors import PlanError
from stdl_events.network.spec import NetworkSpec
from stdl_events.plan.plan import Plan, PlannedBlock

SPEC = NetworkSpec.parse("64C3-64R-128R(s2)-10FC", input_shape=(3, 32, 32))
PLAN = Plan(
    network=SPEC.notation,
    input_shape=SPEC.input_shape,
    batch_size=8,
    blocks=(
        PlannedBlock(0, 1, "64C3", "AP2-128R-10FC", predicted_bytes=700, metered_bytes=720),
        PlannedBlock(1, 4, "64R-128R(s2)-10FC", None, predicted_bytes=810),
    ),
    whole_bytes=1000,
    budget_bytes=900,
)


def test_a_plan_reads_back_from_its_json(tmp_path):
    document = json.loads(json.dumps(PLAN.to_dict()))
    assert Plan.from_dict(document) == PLAN
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    assert Plan.load(file) == PLAN
    assert Plan.load(str(file)) == PLAN


def test_json_has_the_blocks_in_the_papers_notation_and_the_totals():
    document = PLAN.to_dict()
    assert [(block["subnetwork"], block["auxiliary"]) for block in document["blocks"]] == [
        ("64C3", "AP2-128R-10FC"),
        ("64R-128R(s2)-10FC", None),
    ]
    assert [(block["predicted_bytes"], block["metered_bytes"]) for block in document["blocks"]] == [
        (700, 720),
        (810, None),
    ]
    assert (document["total_bytes"], document["rho"]) == (810, 0.81)


def test_the_total_is_the_largest_block_metered_where_it_was_metered():
    metered = tuple(dataclasses.replace(block, metered_bytes=600) for block in PLAN.blocks)
    plan = dataclasses.replace(PLAN, blocks=metered)
    assert (plan.total_bytes, plan.rho) == (600, 0.6)


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        "plan",
        {"blocks": [{"start": 0}]},
        {"blocks": "all"},
        {"blocks": None},
        PLAN.to_dict() | {"input_shape": 3},
        {name: value for name, value in PLAN.to_dict().items() if name != "whole_bytes"},
        PLAN.to_dict() | {"blocks": [PLAN.to_dict()["blocks"][0] | {"colour": "red"}]},
    ],
)
def test_other_documents_are_told(document):
    with pytest.raises(PlanError) as caught:
        Plan.from_dict(document)
    assert str(caught.value).startswith("plan: got a document without a usable ")
    assert str(caught.value).endswith("expected the JSON that `stdl-events plan --json` prints; make a new plan")


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_missing_or_no_json_is_told(tmp_path, content):
    file = tmp_path / "plan.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(PlanError) as caught:
        Plan.load(file)
    text = str(caught.value)
    assert text.startswith(f"{file}: got no readable JSON (")
    assert text.endswith("expected a file that `stdl-events plan --json` wrote; check the path")


def test_a_plan_belongs_to_its_network_and_frames():
    PLAN.check(SPEC)
    other = NetworkSpec.parse(SPEC.notation, input_shape=(3, 64, 64))
    with pytest.raises(PlanError) as caught:
        PLAN.check(other)
    assert str(caught.value) == (
        "plan: got a plan for 64C3-64R-128R(s2)-10FC on 3x32x32; expected one for 64C3-64R-128R(s2)-10FC on 3x64x64; "
        "make a plan for this network"
    )


def cut(*borders: int, auxiliary: tuple[str | None, ...]) -> Plan:
    blocks = tuple(
        PlannedBlock(start, stop, "", head, 1)
        for start, stop, head in zip(borders[:-1], borders[1:], auxiliary, strict=True)
    )
    return dataclasses.replace(PLAN, blocks=blocks)


@pytest.mark.parametrize(
    ("plan", "lacking"),
    [
        (cut(0, 2, auxiliary=(None,)), 1),
        (cut(1, 4, auxiliary=(None,)), 1),
        (cut(0, 2, 2, 4, auxiliary=("10FC", "10FC", None)), 1),
        (cut(0, 3, 2, 4, auxiliary=("10FC", "10FC", None)), 1),
        (cut(0, 2, 5, auxiliary=("10FC", None)), 1),
        (cut(0, 2, 4, auxiliary=(None, None)), 2),
        (cut(0, 2, 4, auxiliary=("10FC", "10FC")), 0),
    ],
)
def test_blocks_cover_the_network_and_all_but_the_last_have_auxiliaries(plan, lacking):
    with pytest.raises(PlanError) as caught:
        plan.check(SPEC)
    borders = [(block.start, block.stop) for block in plan.blocks]
    assert str(caught.value) == (
        f"plan: got blocks {borders}, {lacking} without auxiliary; expected blocks that cover layers 0 to 4 without "
        "gaps, all but the last with one; correct the plan's blocks"
    )


@pytest.mark.parametrize("auxiliary", ["128R", "128R-9FC"])
def test_auxiliary_networks_end_in_the_networks_classes(auxiliary):
    with pytest.raises(PlanError) as caught:
        cut(0, 2, 4, auxiliary=(auxiliary, None)).check(SPEC)
    assert str(caught.value) == (
        f"plan: got auxiliary network {auxiliary}; expected one that ends in 10FC, the network's classifier; "
        "correct the plan's blocks"
    )
