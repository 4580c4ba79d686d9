"""Losses, optimisers and rules are enumerated from their registries; one object adds another."""

import json
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from reference_cases import BATCH, SHAPE
from torch import Tensor

from stdl_events.build import build_learner
from stdl_events.errors import RecipeError, RuleError
from stdl_events.learning import LOSSES, OPTIMIZERS, RULES, Learner
from stdl_events.learning.grid import EndToEnd, Layerwise, Rule, Time
from stdl_events.learning.losses import InstantaneousLoss
from stdl_events.learning.optimizers import OptimizerSpec
from stdl_events.network.spec import NetworkSpec
from stdl_events.recipes import load_recipe
from stdl_events.training.build_learner import build_configured_learner
from stdl_events.training.overrides import apply_overrides

SPEC = NetworkSpec.parse("3C3-AP2-4R-4FC", input_shape=SHAPE)
STEPS = 3


def make(rule: str = "sltt", **options: object) -> Learner:
    shared = {"batch_size": BATCH, "steps": STEPS, "decay": 0.5, "threshold": 0.5, "dtype": torch.float64}
    return build_learner(SPEC, rule, **(shared | options))


def clip() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    frames_TBCHW = torch.randint(0, 4, (STEPS, BATCH, *SHAPE), generator=generator, dtype=torch.uint8)
    return frames_TBCHW, torch.randint(0, 4, (BATCH,), generator=generator)


def gradients(learner: Learner) -> list[Tensor]:
    return [weight.grad for block in learner.blocks for weight in block.parameters() if weight.requires_grad]


def margin(logits_BK: Tensor, targets_B: Tensor) -> Tensor:
    """A loss that is not built in."""
    return F.multi_margin_loss(logits_BK, targets_B)


class MeanMargin:
    """The same loss of the mean over a chunk, with a spiking classifier."""

    classifier = "spiking"

    def chunk(self, logits: list[Tensor], targets_B: Tensor, steps: int) -> Tensor:
        return margin(torch.stack(list(logits)).mean(0), targets_B) * len(logits) / steps


@pytest.fixture
def registered():
    """One object each: a loss, an optimiser and a rule."""
    LOSSES.register("margin", margin)
    OPTIMIZERS.register("rmsprop", torch.optim.RMSprop)
    RULES.register("pairs", lambda n=2: Rule("pairs", Layerwise(n), Time(chunk_steps=2), "sequence", "this test"))
    yield
    LOSSES.unregister("margin")
    OPTIMIZERS.unregister("rmsprop")
    RULES.unregister("pairs")


@pytest.mark.parametrize("loss", [*LOSSES, margin, MeanMargin(), torch.nn.CrossEntropyLoss(label_smoothing=0.1)])
def test_every_loss_has_the_same_gradients_in_lean_mode(loss):
    learners = [make("ell", memory=memory, loss=loss) for memory in ("plain", "lean")]
    plain, lean = [learner.backward(*clip()) for learner in learners]
    assert plain["loss"].item() == pytest.approx(lean["loss"].item(), rel=1e-12)
    expected, found = map(gradients, learners)
    assert any(gradient.abs().max() > 0 for gradient in expected)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


def test_a_loss_of_one_step_is_a_mean_over_time():
    """A classifier on frames has no state, so that every step's loss can be written down."""
    spec = NetworkSpec.parse("3FC", input_shape=(2, 1, 1))
    frames_TBCHW = torch.rand(STEPS, 4, 2, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets_B = torch.tensor([2, 0, 1, 1])
    learner = build_learner(spec, "bptt", batch_size=4, steps=STEPS, loss=margin, dtype=torch.float64)
    weight_KC, bias_K = (value.detach() for value in learner.network.parameters())
    expected = 0.0
    for frame_BCHW in frames_TBCHW:
        for logits_K, target in zip(frame_BCHW[:, :, 0, 0] @ weight_KC.T + bias_K, targets_B, strict=True):
            others = [logits_K[k] - logits_K[target] for k in range(3) if k != target]
            expected += sum(max(0.0, 1 + other.item()) for other in others) / 3 / 4 / STEPS
    assert learner.backward(frames_TBCHW, targets_B)["loss"].item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("memory", ["plain", "lean"])
@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, torch.optim.RMSprop, torch.optim.Adagrad])
def test_every_optimiser_trains(optimizer, memory):
    learner = make(optimizer=optimizer, lr=0.01, memory=memory)
    losses = [learner.train_step(*clip())["loss"].item() for _ in range(10)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_takes_any_loss(rule):
    frames, targets = clip()
    metrics = make(rule, loss=margin, **({"k": 2} if rule == "tbptt" else {})).train_step(frames, targets)
    assert torch.isfinite(metrics["loss"])


def test_an_optimisers_settings_are_its_own_unless_given():
    assert make(optimizer="adamw").optimizer.defaults["lr"] == 1e-3
    assert make().optimizer.defaults["lr"] == make(optimizer="sgd").optimizer.defaults["lr"] == 0.1
    assert make(optimizer="sgd", momentum=0.5).optimizer.defaults["momentum"] == 0.5


@pytest.mark.parametrize(
    ("make_optimizer", "slots"), [(torch.optim.Adam, 2), (torch.optim.Adagrad, 1), (torch.optim.RMSprop, 1)]
)
def test_states_of_any_optimiser_are_counted(make_optimizer, slots):
    assert OptimizerSpec(make_optimizer).slots == slots
    amsgrad = OptimizerSpec(lambda parameters, lr: torch.optim.Adam(parameters, lr, amsgrad=True), lr=0.1)
    assert amsgrad.slots == 3


def test_a_named_loss_takes_the_networks_threshold_and_an_object_stays_as_it_is():
    named = make(loss="ce+mse", mse_target="threshold").loss
    assert named == InstantaneousLoss(mse_target="threshold", threshold=0.5)
    given = InstantaneousLoss(alpha=0.3, threshold=2.0)
    assert make(loss=given).loss is given
    assert make(loss=given, alpha=0.1).loss.alpha == 0.1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"loss": "ce", "alpha": 0.1},
            "loss ce: got the setting alpha; expected a loss that has it, such as ce+mse; leave alpha out, or choose "
            "another loss",
        ),
        ({"loss": margin, "mse_target": "one-hot"}, "loss function: got the setting mse_target; expected a loss that"),
        ({"loss": 3}, "loss: got 3; expected a name, a function of (logits_BK, targets_B), or an object with `chunk`"),
        (
            {"optimizer": "adamw", "momentum": 0.9},
            "optimizer adamw: got the setting momentum; expected an optimiser that has it; leave momentum out, or "
            "choose another optimiser",
        ),
        ({"optimizer": "adamv"}, "optimizer: got 'adamv'; expected sgd or adamw; did you mean 'adamw'?"),
    ],
)
def test_choices_that_do_not_go_together_are_told(options, text):
    with pytest.raises(RuleError) as caught:
        make(**options)
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("memory", ["plain", "lean"])
def test_a_loss_that_is_no_single_number_is_told(memory):
    learner = make(loss=torch.nn.CrossEntropyLoss(reduction="none"), memory=memory)
    with pytest.raises(RuleError, match=r"loss: got a tensor of shape \(\d+,\); expected a 0-d tensor for each step"):
        learner.backward(*clip())


def test_registered_objects_train_by_recipe(registered):
    names = ["learning.loss=margin", "optimiser.kind=rmsprop", "learning.rule=pairs"]
    config = apply_overrides(load_recipe("folder"), [*names, "frames.steps=3", "device=cpu", "batch_size=2"])
    learner = build_configured_learner(config, config.frames.spec((16, 16)), 3)
    assert isinstance(learner.optimizer, torch.optim.RMSprop)
    assert learner.rule.name == "pairs"
    assert len(learner.blocks) == 3
    assert learner.loss.step_loss is margin
    frames = torch.randint(0, 4, (3, 2, 2, 16, 16), dtype=torch.uint8)
    assert torch.isfinite(learner.train_step(frames, torch.tensor([0, 2]))["loss"])


def test_registered_objects_are_metered_and_in_the_help(registered, run_cli):
    small = ("--network", "4C3-4FC", "--input", "2x8x8", "--classes", "4", "--batch", "2", "--steps", "2")
    chosen = ("--rule", "pairs", "--optimizer", "rmsprop", "--loss", "margin")
    _, out, err = run_cli("memory", *small, *chosen, "--json")
    document = json.loads(out)
    assert (document["optimizer"], document["rule"]) == ("rmsprop", "pairs"), err
    _, text, _ = run_cli("memory", "--help")
    assert all(name in text for name in ("margin", "rmsprop", "pairs"))
    code, _, err = run_cli("memory", *small, "--loss", "margim")
    assert code == 2
    assert "did you mean 'margin'?" in err


@pytest.mark.parametrize("key", ["learning.loss", "learning.rule", "optimiser.kind"])
def test_settings_list_what_is_registered(registered, key):
    with pytest.raises(RecipeError) as caught:
        apply_overrides(load_recipe("folder"), [f"{key}=nothing"])
    expected = {"learning.loss": LOSSES, "learning.rule": RULES, "optimiser.kind": OPTIMIZERS}[key]
    assert f"expected {' or '.join(expected)};" in str(caught.value)


def test_a_rule_may_be_any_point_of_the_grid():
    learner = make(Rule("ours", EndToEnd(), Time(chunk_steps=3), "chunk", "this test", loss="spike-mse"))
    assert SPEC.classifier == "linear"
    assert learner.network.spec.classifier == "spiking"


def test_names_are_listed_without_torch():
    program = (
        "import sys\n"
        "from stdl_events.learning import LOSSES, OPTIMIZERS, RULES, get_rule\n"
        "import stdl_events.training.settings\n"
        "assert LOSSES.names and OPTIMIZERS.names and RULES.names and get_rule('stdl')\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
