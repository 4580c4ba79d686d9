"""Settings that hold for all experiments of a paper, and the rows of its tables; a recipe adds its dataset's own.

Where a paper gives a range, a value within it is taken. The STDL and the NDOT paper do not give their momentum, and
STDL not its loss: both are SLTT's. Pictures of events are not normalised here, so frames stay counts.
"""

from dataclasses import asdict
from typing import Any

from stdl_events.network.paper_neurons import paper_neuron
from stdl_events.network.zoo import get_network
from stdl_events.recipes.base import Variant

MOMENTUM = 0.9  # SLTT, appendix F; truncated local BPTT, Table 1
COSINE = {"kind": "cosine", "warmup_epochs": 0.0, "final": 0.0}
CE_AND_MSE = {"loss": "ce+mse", "alpha": 0.05}  # SLTT, eq. (S12) and (S13)

STDL = "STDL, Tables VII and VIII"
STDL_NEURON: dict[str, Any] = asdict(paper_neuron("stdl"))
STDL_LOSS: dict[str, Any] = {**CE_AND_MSE, "mse_target": "one-hot"}
STDL_BASELINES = {
    rule: Variant(f"{rule.upper()} with the settings of STDL (appendix B)", {"learning": {"rule": rule}})
    for rule in ("bptt", "sltt", "decolle", "ell")
}


# The rules of NDOT's section 5 on one network.
COMPARED = ("ndot-a", "ndot-o", "ottt-a", "ottt-o")


def sgd(lr: float, weight_decay: float) -> dict[str, Any]:
    """SGD as in all papers."""
    return {"kind": "sgd", "lr": lr, "momentum": MOMENTUM, "weight_decay": weight_decay}


def adamw(lr: float, weight_decay: float) -> dict[str, Any]:
    """STDL's AdamW for recordings of events."""
    return {"kind": "adamw", "lr": lr, "momentum": None, "weight_decay": weight_decay}


def bins(steps: int, **geometry: Any) -> dict[str, Any]:
    """SpikingJelly's frames: a recording in `steps` bins of equally many events, the rest in the last one."""
    return {"kind": "recording", "steps": steps, "dt_us": None, "by": "count", "remainder": "last", **geometry}


def windows(steps: int, dt_us: int) -> dict[str, Any]:
    """Truncated local BPTT's frames (section III-C): `steps` binary frames of `dt_us`, from the first event on."""
    return {"kind": "stream", "steps": steps, "dt_us": dt_us, "by": None, "grid": "recording", "cap": 1}


def pictures(steps: int, **picture: Any) -> dict[str, Any]:
    """A picture as the input of all `steps`.

    Args:
        picture: its scale, see `PictureSpec`.
    """
    return {"kind": "picture", "steps": steps, "picture": picture}


def sltt(
    *, epochs: int, lr: float, batch_size: int, weight_decay: float, mse_target: str, notation: str, norm: str = "batch"
) -> dict[str, Any]:
    """The settings of a row of SLTT's Table S2 beside those of section 5 and appendix F."""
    return {
        "network": {"notation": notation, "norm": norm, "neuron": asdict(paper_neuron("sltt"))},
        "learning": {"rule": "sltt", "plan": None, **CE_AND_MSE, "mse_target": mse_target},
        "optimiser": sgd(lr, weight_decay),
        "schedule": COSINE,
        "epochs": epochs,
        "batch_size": batch_size,
    }


def ndot(rule: str) -> dict[str, Any]:
    """NDOT, section 5, for `ndot-a`, `ndot-o` and OTTT, with which it compares under the same settings.

    Its equation (13) has the loss, its Table 2 the best alpha. It does not give epochs and batch size: these stay.
    """
    return {
        "network": {"notation": "vgg11-ws", "norm": "ws", "neuron": asdict(paper_neuron(rule))},
        "learning": {"rule": rule, "plan": None, "loss": "ce+mse", "alpha": 0.1, "mse_target": "one-hot"},
        "optimiser": sgd(0.1, 0.0),
        "schedule": COSINE,
    }


def cifar(*, network: str, cutout: str, **scale: Any) -> dict[str, Any]:
    """STDL's settings of a CIFAR set, Tables VII and VIII; each picture is the input at all T=4 steps.

    Args:
        network: in the published blocks.
        cutout: the transform, of the side that its authors chose for the set.
        scale: mean and deviation of the pixels.
    """
    return {
        "frames": pictures(4, **scale),
        "network": {"notation": network, "neuron": {**STDL_NEURON, "decay": 0.1}},
        "learning": {"rule": "stdl", "plan": "paper", **STDL_LOSS},
        "augment": {"shift_px": 4, "flip": True, "transforms": ["autoaugment", cutout]},
        "optimiser": sgd(0.4, 5e-5),
        "schedule": COSINE,
        "epochs": 400,
        "batch_size": 512,
    }


def cifar_variants(*, weight_decay: float, cutout: str) -> dict[str, Variant]:
    """The variants of the CIFAR sets from STDL, SLTT and NDOT; all but STDL's have T=6, and no AutoAugment.

    Args:
        weight_decay: SLTT's, Table S2.
        cutout: the transform.
    """
    own = sltt(
        epochs=200, lr=0.1, batch_size=128, weight_decay=weight_decay, mse_target="threshold", notation="resnet18"
    )
    published = {
        rule: Variant(f"{rule.upper()} as in NDOT, section 5: VGG-11 (WS), T=6", ndot(rule)) for rule in COMPARED
    }
    published["sltt"] = Variant("SLTT, Table S2: ResNet-18, T=6", own)
    shared = {"frames": {"steps": 6}, "augment": {"transforms": [cutout]}}
    with_steps = {name: Variant(one.summary, {**shared, **one.changes}) for name, one in published.items()}
    return {**STDL_BASELINES, **with_steps}


def truncated(
    *, k: int, n: int, batch_size: int, lr: float, decay: float, threshold: float, dropout: float, network: str,
    classes: int,
) -> dict[str, Any]:  # fmt: skip
    """The settings of a column of truncated local BPTT's Table 1 beside those of section III.

    Args:
        k, n: steps of an interval and layers of a block: the best of Fig. 15.
    """
    neuron = {**asdict(paper_neuron("tbptt")), "decay": decay, "threshold": threshold, "reset_amount": threshold}
    return {
        "network": {"notation": with_dropout(network, dropout, classes), "norm": "none", "neuron": neuron},
        "learning": {
            "rule": "tbptt",
            "options": {"k": k, "n": n, "classifier": "trainable"},
            "plan": None,
            "loss": "spike-mse",
            "alpha": None,
            "mse_target": None,
        },
        "optimiser": sgd(lr, 0.0),
        "schedule": {"kind": "step", "step_epochs": 20, "step_factor": 0.5, "warmup_epochs": 0.0},
        "epochs": 100,
        "batch_size": batch_size,
    }


def with_dropout(network: str, probability: float, classes: int) -> str:
    """The notation of a network of the zoo with dropout behind the neurons of each layer but the classifier."""
    *hidden, classifier = get_network(network, input_shape=(2, 128, 128), classes=classes).notation.split("-")
    dropped = (f"{token}-DP({probability})" if "C" in token else token for token in hidden)
    return "-".join([*dropped, classifier])
