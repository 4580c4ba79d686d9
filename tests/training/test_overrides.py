"""`--set key=value`: every key is parsed by its type, and errors describe valid keys and values."""

import json

import pytest

from stdl_events.errors import NotationError, RecipeError, StdlEventsError
from stdl_events.recipes import load_recipe
from stdl_events.training.overrides import apply_overrides, setting_keys
from stdl_events.training.settings import TrainConfig


@pytest.fixture
def config() -> TrainConfig:
    return load_recipe("folder")


@pytest.mark.parametrize(
    ("assignment", "read", "value"),
    [
        ("epochs=3", lambda c: c.epochs, 3),
        ("optimiser.lr=1e-2", lambda c: c.optimiser.lr, 0.01),
        ("learning.budget=2GiB", lambda c: c.learning.budget, 2 * 2**30),
        ("learning.rho = 0.6", lambda c: c.learning.rho, 0.6),
        ("frames.cap=none", lambda c: c.frames.cap, None),
        ("augment.flip=true", lambda c: c.augment.flip, True),
        ("network.neuron.decay=0.5", lambda c: c.network.neuron.decay, 0.5),
        ("network.notation=8C3-AP2-10FC", lambda c: c.network.notation, "8C3-AP2-10FC"),
        ("name=7", lambda c: c.name, "7"),
        ("data.path=a=b", lambda c: c.data.path, "a=b"),
    ],
)
def test_value_is_parsed_by_its_type(config: TrainConfig, assignment: str, read: object, value: object) -> None:
    assert callable(read)
    assert read(apply_overrides(config, [assignment])) == value


@pytest.mark.parametrize("key", sorted(key for key in setting_keys() if "*" not in key))
def test_no_setting_takes_a_number_that_is_not_finite(config: TrainConfig, key: str) -> None:
    for value in ("inf", "nan", "-inf"):
        try:
            changed = apply_overrides(config, [f"{key}={value}"])
        except StdlEventsError:
            continue
        text = json.dumps(changed.model_dump(mode="json"), allow_nan=False)
        assert json.loads(text)


@pytest.mark.parametrize(
    "assignment",
    [
        "seed=-1",
        "data.split.seed=-1",
        "seed=9223372036854775808",
        "optimiser.lr=1e38",
        "optimiser.lr=1e-300",
        "learning.rho=1e308",
        "learning.options.k=99999999999999999999",
        "data.sensor_size=0x12",
    ],
)
def test_numbers_that_a_generator_or_an_optimiser_cannot_take_are_one_line(
    config: TrainConfig, assignment: str
) -> None:
    with pytest.raises(RecipeError, match=f"setting '{assignment.partition('=')[0]}': got "):
        apply_overrides(config, [assignment])


@pytest.mark.parametrize(
    ("assignment", "text"),
    [
        ("schedule.warmup_epochs=5", "schedule.warmup_epochs: got 5 of 5 epochs; expected less than epochs"),
        (
            "learning.rate_penalty=1e30",
            "setting 'learning.rate_penalty': got '1e30'; expected less than or equal to 1000000",
        ),
        ('network.neuron={"spin":1}', "setting 'network.neuron': got '{\"spin\":1}'; expected some of kind, decay,"),
        ("name=../x", "setting 'name': got '../x'; expected a name of printable signs"),
        ("name=", "setting 'name': got ''; expected a name"),
        ("data.prepared=a\0", r"setting 'data.prepared': got 'a\x00'; expected a path, which holds no NUL"),
        ("network.neuron.threshold=1e308", "network.neuron.threshold: got 1e+308; expected 1e-06 to 1e+06"),
    ],
)
def test_settings_that_no_run_can_have_are_refused(config: TrainConfig, assignment: str, text: str) -> None:
    with pytest.raises(StdlEventsError) as caught:
        apply_overrides(config, ["epochs=5", assignment])
    assert str(caught.value).startswith(text)


def test_impossible_values_in_a_program_are_told_like_those_of_a_command(config: TrainConfig) -> None:
    for changes, text in (
        ({"epochs": 0}, "epochs: got 0; expected greater than or equal to 1; correct this setting"),
        ({"optimiser": {"lr": 1e308}}, "optimiser.lr: got 1e+308; expected less than or equal to 1e+30; correct"),
        ({"data": 3}, "data: got 3; expected "),
    ):
        with pytest.raises(RecipeError) as caught:
            config.derive(**changes)
        assert str(caught.value).startswith(text)


def test_later_assignments_win_and_the_rest_stays(config: TrainConfig) -> None:
    changed = apply_overrides(config, ["epochs=3", "epochs=4"])
    assert changed == config.derive(epochs=4)


def test_one_way_to_cut_replaces_the_recipes_other() -> None:
    config = load_recipe("folder").derive(learning={"rho": 0.7})
    assert apply_overrides(config, ["learning.budget=1GB"]).learning.rho is None
    assert apply_overrides(config, ["learning.rule=sltt"]).learning.rho == 0.7


@pytest.mark.parametrize(
    ("assignment", "near", "group"),
    [
        ("epochz=1", "epochs", ""),
        ("lr=1", "optimiser.lr", ""),
        ("split.rule=time", "data.split.rule", ""),
        ("network.neuron.decai=0.5", "network.neuron.decay", "network.neuron."),
        ("learning.options.K=2", "learning.options.k", "learning.options."),
    ],
)
def test_unknown_key_lists_the_keys_of_its_group_and_names_the_nearest(
    config: TrainConfig, assignment: str, near: str, group: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        apply_overrides(config, [assignment])
    text = str(caught.value)
    assert text.startswith(f"setting {assignment.partition('=')[0]!r}: got no such setting; expected one of {group}")
    listed = caught.value.expected.removeprefix("one of ").split(", ")
    of_group = {key for key in setting_keys() if key.startswith(group)}
    assert {key for key in of_group for name in listed if key == name or key.startswith(name.rstrip("*"))} == of_group
    assert all(name.startswith(group) for name in listed)
    assert text.endswith(f"did you mean {near!r}?")
    assert "\n" not in text


@pytest.mark.parametrize(
    ("assignments", "text"),
    [
        (["epochs"], "--set: got 'epochs'; expected key=value; write for example --set epochs=20"),
        (
            ["epochs=1.5"],
            "setting 'epochs': got '1.5'; expected a valid integer, unable to parse string as an integer; "
            "write --set epochs=VALUE with such a value",
        ),
        (
            ["learning.class_weights=balanced"],
            "setting 'learning.class_weights': got 'balanced'; expected a number for each class, such as [1,3], or "
            "equally many clips of each with sampling=balanced; "
            "write --set learning.class_weights=VALUE with such a value",
        ),
        (
            ["learning.class_weights=1,2"],
            "setting 'learning.class_weights': got '1,2'; expected a list in brackets, such as [1,2] or [\"a\",\"b\"]; "
            "write --set learning.class_weights=VALUE with such a value",
        ),
        (
            ["device=tpu"],
            "setting 'device': got 'tpu'; expected 'auto', 'cpu' or 'cuda'; write --set device=VALUE with such a value",
        ),
        (
            ["learning.rho=0.7", "learning.budget=1GB"],
            "learning: got budget and rho; expected at most one of budget, rho and plan; leave out the others",
        ),
    ],
)
def test_wrong_value_says_what_is_right(config: TrainConfig, assignments: list[str], text: str) -> None:
    with pytest.raises(RecipeError) as caught:
        apply_overrides(config, assignments)
    assert str(caught.value) == text


def test_a_section_keeps_the_words_of_its_own_checks(config: TrainConfig) -> None:
    with pytest.raises(RecipeError, match=r"decay: got 1\.0; expected 0 <= decay < 1"):
        apply_overrides(config, ["network.neuron.decay=1.0"])


def test_derive_refuses_unknown_keys(config: TrainConfig) -> None:
    with pytest.raises(RecipeError, match=r"setting 'optimiser\.rate': got no such setting; expected one of kind, lr"):
        config.derive(optimiser={"rate": 1.0})
    with pytest.raises(NotationError):
        config.derive(network={"notation": "nonsense"}).network.spec((2, 8, 8), 3, "stdl")
