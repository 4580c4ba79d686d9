"""Remembered costs: equal plans with and without them; a cache that is damaged or in the way changes nothing."""

import dataclasses
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from new_entries import ADAPTIVE_EXPONENTIAL, registered

from stdl_events.build import plan_learner
from stdl_events.errors import NotationError
from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.lean.parts import PartSizes, part_sizes
from stdl_events.memory import choose_plan, cost_store, footprint, layer_costs
from stdl_events.memory.choose_plan import Planner
from stdl_events.memory.cost_store import SWITCH, CostsWarning, costs_folder, save_costs
from stdl_events.memory.layer_costs import LayerMeter
from stdl_events.memory.report import meter_step
from stdl_events.network.registries import NEURONS
from stdl_events.network.spec import NetworkSpec, NeuronSpec
from stdl_events.plan.plan import Plan
from stdl_events.registry import Registry

SPEC = NetworkSpec.parse("4C3-AP2-4C3-6C3-3FC", input_shape=(2, 8, 8))


def forget() -> None:
    """After this, costs are read from the disk or metered again, and what may be said once may be said again."""
    for remembered in (layer_costs._measured, choose_plan._whole_bytes, footprint._footprint):
        remembered.forget()
    cost_store._groups.clear()
    cost_store._said.clear()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of this test's own, as files."""
    monkeypatch.setenv(SWITCH, str(tmp_path / "cache"))
    forget()
    yield tmp_path / "cache"
    forget()


def planned(memory: str = "lean") -> tuple[Plan, dict[str, object]]:
    """A plan and the report on its step, as a new process would make them."""
    forget()
    blueprint, plan = plan_learner(SPEC, batch_size=4, steps=3, memory=memory, rho=1.2, least_blocks=2)
    found = meter_step(blueprint, plan)
    save_costs()
    assert plan is not None
    return plan, found.to_dict() | {"laps": found.footprint.laps}


def files(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.json"))


@pytest.mark.parametrize("memory", ["lean", "plain", "auto"])
def test_a_plan_is_the_same_with_an_empty_cache_with_a_full_one_and_without(
    memory: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = planned(memory)
    written = {path: path.read_bytes() for path in files(cache)}
    full = planned(memory)
    assert len(written) >= 3
    assert {path: path.read_bytes() for path in files(cache)} == written, "nothing was metered again"
    monkeypatch.setenv(SWITCH, "off")
    assert planned(memory) == full == empty


def test_what_is_on_the_disk_is_used(cache: Path) -> None:
    blueprint = Blueprint.of(SPEC, batch_size=4, steps=3)
    whole = Planner(blueprint).whole_bytes
    save_costs()
    changed = 0
    for path in files(cache):
        text = path.read_text()
        path.write_text(text.replace(f":{whole}}}", f":{whole + 1}}}").replace(f": {whole}}}", f": {whole + 1}}}"))
        changed += path.read_text() != text
    assert changed == 1
    forget()
    assert Planner(blueprint).whole_bytes == whole + 1


# The first process imports what it meters with, in a caller's own fake tensor mode; the second one reads what the first
# has kept.
PROGRAM = """
import contextlib, os, sys
import torch
from stdl_events.build import plan_learner
from stdl_events.memory.report import meter_step
from stdl_events.network.spec import NetworkSpec
from torch._subclasses.fake_tensor import FakeTensorMode

first = os.fork()
if first:
    assert os.waitpid(first, 0)[1] == 0
spec = NetworkSpec.parse("4C3-AP2-4C3-6C3-3FC", input_shape=(2, 8, 8))
with contextlib.nullcontext() if first else FakeTensorMode():
    step = meter_step(*plan_learner(spec, batch_size=4, steps=3, memory="lean", rho=1.2, least_blocks=2))
print(step.plan.whole_bytes, step.to_dict())
assert ({"norse", "torch._dynamo", "matplotlib"} & {*sys.modules} == set()) == (first > 0), sorted(sys.modules)
if not first:
    from norse.torch import LIFBoxParameters

    assert type(LIFBoxParameters().tau_mem_inv) is torch.Tensor
"""


@pytest.mark.slow
def test_remembered_costs_need_no_module_of_a_network_and_importing_them_is_not_counted(cache: Path) -> None:
    command, environ = [sys.executable, "-c", PROGRAM], os.environ | {SWITCH: str(cache.with_name("another"))}
    said = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout.splitlines()
    Blueprint.of(SPEC, batch_size=4, steps=3).build(None)  # imports it all in this process
    plan, found = planned()
    del found["laps"]
    assert said == [f"{plan.whole_bytes} {found}"] * 2


DAMAGED = ["", "{", "[1]", '{"costs": [1]}', "\x00" * 9, "[" * 100_000]
NO_COSTS = [None, "x", -1.5, [1, 2], {"peak_bytes": "x"}]


def test_damaged_files_are_said_once_and_metered_again(cache: Path) -> None:
    wanted = planned()
    contents = [*DAMAGED, *(json.dumps({"costs": {"KEY": cost}}) for cost in NO_COSTS)]
    for first in range(0, len(contents), len(files(cache))):
        for path, content in zip(files(cache), contents[first:], strict=False):
            key = next(iter(json.loads(path.read_text())["costs"]))
            path.write_text(content.replace('"KEY"', json.dumps(key)))
        with pytest.warns(CostsWarning, match="damaged") as said:
            assert planned() == wanted
        assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert planned() == wanted, "the files are whole again"


def test_a_folder_that_cannot_be_made_is_said_once(cache: Path) -> None:
    cache.write_text("a file is in its place")
    with pytest.warns(CostsWarning, match="not kept|cannot be read") as said:
        plan, _ = planned()
    assert len(said) == 1
    assert plan.metered_bytes is not None
    assert cache.read_text() == "a file is in its place"


def test_two_processes_keep_the_costs_of_both(cache: Path) -> None:
    del cache
    one, other = (cost_store._group_of("costs", SPEC) for _ in range(2))
    assert one is other is not None
    other = cost_store._Group(one.path)
    one.add("a", 1)
    other.add("b", 2)
    one.save()
    other.save()
    assert cost_store._read(one.path) == {"a": 1, "b": 2}


def test_neurons_of_the_callers_own_are_not_kept(cache: Path) -> None:
    with registered(NEURONS, "exponential", ADAPTIVE_EXPONENTIAL):
        spec = dataclasses.replace(SPEC, neuron=NeuronSpec("exponential"))
        LayerMeter.of(Blueprint.of(spec, batch_size=4, steps=3))(spec.layers[1], True)
    save_costs()
    assert files(cache) == []
    LayerMeter.of(Blueprint.of(SPEC, batch_size=4, steps=3))(SPEC.layers[1], True)
    save_costs()
    assert len(files(cache)) == 1


def test_a_built_in_name_with_another_entry_is_not_the_packages_own() -> None:
    neurons = Registry("neuron", NotationError, {"lif": NEURONS["lif"]})
    assert neurons.is_built_in("lif")
    neurons.unregister("lif")
    neurons.register("lif", ADAPTIVE_EXPONENTIAL)
    assert not neurons.is_built_in("lif")


def test_other_settings_have_other_costs(cache: Path) -> None:
    """Every setting that changes a cost has a file of its own, the sizes of parts too."""
    layer, found = SPEC.layers[1], set()
    for options in ({}, {"precision": "bf16-states"}, {"optimizer": "adamw"}, {"neuron": "alif"}, {"memory": "kept"}):
        for sizes in (PartSizes(), PartSizes(500, 500)):
            layer_costs._measured.forget()
            with part_sizes(sizes):
                found.add(LayerMeter.of(Blueprint.of(SPEC, batch_size=4, steps=3, **options))(layer, True))
    save_costs()
    assert len(files(cache)) == 10
    assert len(found) >= 8


def test_old_files_and_versions_go(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_store, "_MOST_FILES", 3)
    folder = costs_folder()
    assert folder is not None
    others = [folder.parent / f"{number:016x}" for number in range(6)]
    for place in (*others, folder, folder.parent / "another-program"):
        place.mkdir(parents=True)
    for number in range(6):
        (folder / f"{number}.json").write_text("{}")
        os.utime(folder / f"{number}.json", (number, number))
    planned("plain")
    assert len(files(cache)) <= 3 + 1
    assert not (folder / "0.json").exists()
    kept = set(folder.parent.iterdir())
    assert folder in kept
    assert folder.parent / "another-program" in kept
    assert len(kept) == 1 + 4


def test_the_folder_is_that_of_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert costs_folder() is None, "the tests switch it off"
    monkeypatch.delenv(SWITCH)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    found = costs_folder()
    assert found is not None
    assert found.parent == tmp_path / "xdg" / "stdl-events" / "costs"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setattr("sys.platform", "linux")
    assert costs_folder() == tmp_path / ".cache" / "stdl-events" / "costs" / found.name
    monkeypatch.setattr("sys.platform", "darwin")
    assert costs_folder() == tmp_path / "Library" / "Caches" / "stdl-events" / "costs" / found.name
