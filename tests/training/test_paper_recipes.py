"""The recipes of papers hold the values of the papers' tables, which are typed here again from the papers."""

import re
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from stdl_events.network.spec import NeuronSpec
from stdl_events.plan.presets import paper_cuts
from stdl_events.recipes import describe_recipes, load_recipe
from stdl_events.training.settings import TrainConfig


@dataclass(frozen=True)
class Row:
    """A row of STDL's Table VII, its network (section V), and the shape of its frames (appendix A)."""

    epochs: int
    optimiser: str
    lr: float
    batch_size: int
    weight_decay: float
    decay: float
    threshold: float
    steps: int
    network: str
    plan: str | None
    shift_px: int = 0
    flip: bool = False
    cutout: bool = False
    crop: str = "none"


# STDL, Table VII; networks: sections V-A and V-B; augmentation: appendix A. Table VIII has no plan for VGG-11.
STDL = {
    ("svhn", None): Row(200, "sgd", 0.1, 512, 0.00005, 0.1, 1.0, 4, "vgg16", "paper", 2),
    ("imagenet", None): Row(
        100, "sgd", 0.15, 300, 0.00001, 0.2, 1.0, 1, "sew-resnet34", "paper", flip=True, crop="random"
    ),
    ("imagenet", "finetune"): Row(
        10, "sgd", 0.002, 512, 0, 0.2, 1.0, 4, "sew-resnet34", "paper", flip=True, crop="random"
    ),
    ("cifar10", None): Row(400, "sgd", 0.4, 512, 0.00005, 0.1, 1.0, 4, "resnet18", "paper", 4, True, True),
    ("cifar100", None): Row(400, "sgd", 0.4, 512, 0.00005, 0.1, 1.0, 4, "resnet19", "paper", 4, True, True),
    ("cifar10_dvs", None): Row(300, "adamw", 0.001, 100, 0.0005, 0.1, 1.0, 10, "vgg11", None),
    ("gait_day", None): Row(100, "adamw", 0.0005, 100, 0.0005, 0.1, 1.0, 20, "resnet18", "paper"),
    ("har_dvs", None): Row(100, "adamw", 0.001, 100, 0.0005, 0.1, 1.0, 4, "resnet18", "paper", shift_px=18, flip=True),
}

# STDL, Table VIII: subnetworks, and auxiliary networks without the outputs.
TABLE_VIII = {
    "resnet18": [
        ("64C3-64R", "AP(k2s2)-256R(s2)-512R(s2)-512R"),
        ("64R-128R(s2)", "256R(s2)-512R(s2)"),
        ("128R-256R(s2)-256R-512R(s2)-512R", None),
    ],
    "resnet19": [
        ("128C3-128R", "256R(s2)-512R(s2)"),
        ("128R-128R", "AP(k2s2)-512R(s2)"),
        ("256R(s2)-256R-256R-512R(s2)-512R", None),
    ],
    "vgg16": [
        ("64C3", "AP(k16s16)-512C3"),
        ("64C3-AP(k2s2)-128C3", "AP(k8s8)-512C3"),
        (
            "128C3-AP(k2s2)-256C3-256C3-256C3-AP(k2s2)-512C3-512C3-512C3-AP(k2s2)-512C3-512C3-512C3",
            None,
        ),
    ],
    # Its second subnetwork is not legible in full; here as the first, with the rest of a ResNet-34.
    "sew-resnet34": [
        ("64C3-AP(k3s2p1)-64SEWR-64SEWR-64SEWR", "AP(k4s4)-512SEWR(s2)-512SEWR-512SEWR"),
        (
            "-".join(
                ["128SEWR(s2)", *["128SEWR"] * 3, "256SEWR(s2)", *["256SEWR"] * 5, "512SEWR(s2)", *["512SEWR"] * 2]
            ),
            None,
        ),
    ],
}

# SLTT, Table S2: epochs, learning rate, batch size, weight decay; T: section 5.1; dropout: appendix E.3; target of the
# squared error: equations (S12) and (S13).
SLTT = {
    ("imagenet", "sltt"): (100, 0.1, 256, 1e-5, 1, None, "threshold"),
    ("imagenet", "sltt-finetune"): (30, 0.001, 256, 0, 6, None, "threshold"),
    ("cifar10", "sltt"): (200, 0.1, 128, 5e-5, 6, None, "threshold"),
    ("cifar100", "sltt"): (200, 0.1, 128, 5e-4, 6, None, "threshold"),
    ("dvs_gesture", None): (300, 0.1, 16, 5e-4, 20, 0.4, "threshold"),
    ("cifar10_dvs", "sltt"): (300, 0.05, 128, 5e-4, 10, 0.3, "one-hot"),
    ("cifar10_dvs", "sltt-augmented"): (300, 0.05, 128, 5e-4, 10, 0.3, "one-hot"),
}

# Truncated local BPTT, Table 1: batch size, T, dropout, learning rate, decay, threshold (the last three and dropout are
# ranges or equal ends); section III-C: dt in ms; section IV: best (k, n).
TRUNCATED = {
    ("cifar10", "tbptt"): (128, 10, (0, 0.15), (0.1, 0.2), 0.8, (0.3, 0.5), None, (1, 1), "AlexNet"),
    ("dvs_gesture", "tbptt"): (32, 60, (0, 0.2), (0.005, 0.2), 0.3, (0.2, 0.5), 20, (10, 1), "LeNet-2"),
    ("cifar10_dvs", "tbptt"): (128, 100, (0, 0.2), (0.1, 0.5), 0.8, (0.3, 0.6), 5, (10, 1), "AlexNet"),
}
# Its Table 2, without pooling: kernels and channels or neurons, in order.
LAYERS = {
    "LeNet-2": ["64C5", "128C5", "128C5", "256FC"],
    "AlexNet": ["96C3(s2)", "256C3", "384C3", "512C3", "384C3", "256C3", "4096FC", "1024FC"],
}


def neuron_of(config: TrainConfig) -> NeuronSpec:
    assert isinstance(config.network.neuron, NeuronSpec), "written out, so that it is shown"
    return config.network.neuron


def check_schedule(config: TrainConfig) -> None:
    schedule = config.schedule
    assert (schedule.kind, schedule.warmup_epochs, schedule.final) == ("cosine", 0, 0)


@pytest.mark.parametrize(("name", "variant"), STDL)
def test_stdl(name: str, variant: str | None) -> None:
    config, row = load_recipe(name, variant), STDL[name, variant]
    optimiser, learning, neuron = config.optimiser, config.learning, neuron_of(config)
    read = Row(
        config.epochs, optimiser.kind, optimiser.lr or 0, config.batch_size, optimiser.weight_decay or 0, neuron.decay,
        neuron.threshold, config.frames.steps, config.network.notation, learning.plan, config.augment.shift_px,
        config.augment.flip, "cutout" in [transform.name for transform in config.augment.transforms],
        config.augment.crop,
    )  # fmt: skip
    assert read == row
    assert optimiser.momentum == (0.9 if row.optimiser == "sgd" else None)
    check_schedule(config)
    # STDL, equations (3) and (7), and gamma = 1 below.
    assert (neuron.kind, neuron.reset, neuron.surrogate, neuron.surrogate_width) == ("lif", "soft", "triangle", 1.0)
    # The loss is SLTT's.
    assert (learning.rule, learning.loss, learning.alpha, learning.mse_target) == ("stdl", "ce+mse", 0.05, "one-hot")
    assert config.network.norm == "batch"
    # Appendix B: the baselines have the same settings, but for BPTT on ImageNet: batches of 256.
    changes: dict[str, Any] = {"learning": {"rule": "bptt"}}
    if name == "imagenet":
        changes |= {"batch_size": 256, "optimiser": {"lr": row.lr * 256 / row.batch_size}}
    stage = "-finetune" if variant == "finetune" else ""
    assert load_recipe(name, f"bptt{stage}") == config.derive(**changes)


@pytest.mark.parametrize("name", ["cifar10_dvs", "gait_day", "har_dvs"])
def test_frames_of_recordings_are_spikingjellys(name: str) -> None:
    frames = load_recipe(name).frames
    assert (frames.kind, frames.by, frames.remainder, frames.dt_us) == ("recording", "count", "last", None)
    sensor, picture = ((346, 260), (224, 224)) if name == "har_dvs" else ((128, 128), (128, 128))
    assert frames.spec(sensor).frame_shape_CHW == (2, *picture), "STDL, appendix A"


@pytest.mark.parametrize(("name", "classes"), [
    ("gait_day", 20), ("har_dvs", 300), ("cifar10", 10), ("cifar100", 100), ("svhn", 10), ("imagenet", 1000)
])  # fmt: skip
def test_plan_is_that_of_table_viii(name: str, classes: int) -> None:
    config = load_recipe(name)
    spec = config.network.spec((2, 128, 128), classes, "stdl")
    cuts, table = paper_cuts(spec), TABLE_VIII[config.network.notation]
    own = [_short(own) for own, _ in table]
    assert [spec.slice(cut.start, cut.stop).notation for cut in cuts] == [*own[:-1], f"{own[-1]}-{classes}FC"]
    auxiliary = [cut.auxiliary.notation if cut.auxiliary is not None else None for cut in cuts]
    assert auxiliary == [f"{_short(text)}-{classes}FC" if text else None for _, text in table]


def _short(notation: str) -> str:
    """The table's poolings in the notation of a network."""
    return re.sub(r"AP\(k(\d+)s\1\)", r"AP\1", notation)


@pytest.mark.parametrize(("name", "variant"), SLTT)
def test_sltt(name: str, variant: str | None) -> None:
    config = load_recipe(name, variant)
    epochs, lr, batch_size, weight_decay, steps, dropout, target = SLTT[name, variant]
    optimiser, learning = config.optimiser, config.learning
    assert (config.epochs, optimiser.lr, config.batch_size, optimiser.weight_decay) == (
        epochs, lr, batch_size, weight_decay
    )  # fmt: skip
    assert (optimiser.kind, optimiser.momentum) == ("sgd", 0.9)  # appendix F
    check_schedule(config)
    # Section 5: V_th = 1, tau = 1.1, the triangle; below equation (6): gamma = V_th; equation (2): soft reset.
    assert asdict(neuron_of(config)) == asdict(
        NeuronSpec("lif", 1 - 1 / 1.1, 1.0, "soft", None, "triangle", 1.0, 0.2, 0.9)
    )
    alpha = 0 if name == "imagenet" else 0.05  # appendix F
    assert (learning.rule, learning.loss, learning.alpha, learning.mse_target) == ("sltt", "ce+mse", alpha, target)
    assert learning.plan is None
    assert config.frames.steps == steps
    if name == "imagenet":
        # Section 5.1 and appendix E.3; appendix D: resized crops and flips.
        assert (config.network.notation, config.network.norm) == ("nf-resnet34", "ws")
        assert (config.augment.crop, config.augment.flip) == ("resized", True)
        return
    assert config.network.norm == "batch"
    if dropout is None:
        assert config.network.notation == "resnet18", "section 5.1"
        # Appendix D: crops after padding by 4, flips, cutout.
        assert (config.augment.shift_px, config.augment.flip, len(config.augment.transforms)) == (4, True, 1)
        return
    # VGG-11 without two fully connected layers, average pooling, dropout behind each layer of neurons.
    widths = [64, 128, 256, 256, 512, 512, 512, 512]
    tokens = [token for token in config.network.notation.split("-") if token != "AP2"]
    assert tokens[:-1] == [part for width in widths for part in (f"{width}C3", f"DP({dropout})")]
    size = 48 if name == "cifar10_dvs" else 128  # appendix D
    assert config.frames.spec((128, 128)).frame_shape_CHW == (2, size, size)
    augmented = variant == "sltt-augmented"  # appendix D: flip, and roll within 5 pixels, for some experiments
    assert (config.augment.flip, config.augment.roll_px) == ((True, 5) if augmented else (False, 0))


@pytest.mark.parametrize(("name", "steps", "shape"), [
    ("cifar10_dvs", 10, (2, 48, 48)), ("cifar10", 6, (3, 32, 32)), ("cifar100", 6, (3, 32, 32)),
])  # fmt: skip
@pytest.mark.parametrize("rule", ["ndot-a", "ndot-o", "ottt-a", "ottt-o"])
def test_ndot(name: str, steps: int, shape: tuple[int, int, int], rule: str) -> None:
    config = load_recipe(name, rule)
    optimiser, neuron, learning = config.optimiser, neuron_of(config), config.learning
    # NDOT, section 5: VGG with weight standardisation, SGD, no weight decay, 0.1 with cosine decay to 0.
    assert (optimiser.kind, optimiser.lr, optimiser.weight_decay) == ("sgd", 0.1, 0.0)
    check_schedule(config)
    spec = config.network.spec((2, 48, 48), 10, rule)
    assert spec.notation == "64C3-128C3-AP2-256C3-256C3-AP2-512C3-512C3-AP2-512C3-512C3-10FC"
    assert spec.norm == "ws"
    # V_th = 1, lambda = 0.5; section 3.2: the sigmoid.
    assert (neuron.threshold, neuron.decay, neuron.surrogate) == (1.0, 0.5, "sigmoid")
    # Equation (13), and the best alpha of Table 2; Table S1: T up to 10.
    assert (learning.rule, learning.loss, learning.alpha, learning.mse_target) == (rule, "ce+mse", 0.1, "one-hot")
    sensor = (128, 128) if name == "cifar10_dvs" else (32, 32)
    assert config.frames.steps == steps
    assert config.frames.spec(sensor).frame_shape_CHW == shape, "appendix A.3.1"
    assert config.augment.shift_px, "appendix A.3.1: random crops"


@pytest.mark.parametrize(("name", "variant"), TRUNCATED)
def test_truncated_local_bptt(name: str, variant: str) -> None:
    config = load_recipe(name, variant)
    batch_size, steps, dropouts, rates, decay, thresholds, dt_ms, (k, n), network = TRUNCATED[name, variant]
    neuron, learning, optimiser, schedule = neuron_of(config), config.learning, config.optimiser, config.schedule
    assert (config.batch_size, config.epochs, config.frames.steps) == (batch_size, 100, steps)
    assert (optimiser.kind, optimiser.momentum, optimiser.weight_decay) == ("sgd", 0.9, 0.0)
    assert optimiser.lr is not None
    assert rates[0] <= optimiser.lr <= rates[1]
    # "reduce learning rate by a factor of 2 every 20 epochs"
    assert (schedule.kind, schedule.step_epochs, schedule.step_factor) == ("step", 20, 0.5)
    assert neuron.decay == decay
    assert thresholds[0] <= neuron.threshold <= thresholds[1]
    assert (neuron.surrogate, neuron.surrogate_width) == ("rectangle", 0.5)
    assert (learning.rule, learning.loss, learning.options.k, learning.options.n) == ("tbptt", "spike-mse", k, n)
    if dt_ms is not None:
        assert (config.frames.kind, config.frames.dt_us, config.frames.cap) == ("stream", dt_ms * 1000, 1)
    *tokens, _ = [token for token in config.network.notation.split("-") if token != "AP2"]
    assert tokens[::2] == LAYERS[network]
    assert {dropouts[0] <= float(token[3:-1]) <= dropouts[1] for token in tokens[1::2]} == {True}
    assert config.network.norm == "none"


def test_every_variant_is_possible_and_says_its_source() -> None:
    for name, recipe in describe_recipes().items():
        for variant, described in recipe.variants.items():
            config: Any = recipe.configure(variant)
            assert config != recipe.configure(), f"{name} {variant} changes something"
            assert described.summary
            assert not described.summary.endswith(".")
