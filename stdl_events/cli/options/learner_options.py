"""Options that describe a learner: a recipe or a run, or a network with its input shape and classes."""

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from stdl_events.cli.options.data_options import NO_OPTIONS, DataOptions
from stdl_events.cli.options.registry_options import one_of, parse_assignments, parse_shape
from stdl_events.errors import UserError
from stdl_events.learning.registries import DEFAULT_OPTIMIZER, LOSSES, OPTIMIZERS, STEP_PRECISIONS
from stdl_events.learning.rules import RULES
from stdl_events.network.registries import NEURONS

DEFAULTS: dict[str, Any] = {"batch_size": 100, "steps": 10}
# Options of `build_learner` that are settings of a configuration.
SETTINGS = {
    "batch_size": "batch_size",
    "steps": "frames.steps",
    "rule": "learning.rule",
    "budget": "learning.budget",
    "budget_of": "learning.budget_of",
    "rho": "learning.rho",
    "plan": "learning.plan",
    "least_blocks": "learning.least_blocks",
    "memory": "learning.memory",
    "precision": "learning.precision",
    "optimizer": "optimiser.kind",
    "loss": "learning.loss",
}

OF_THE_OPTIMIZER = ("optimizer", "lr", "momentum", "weight_decay", "clip_norm")
SHARED = ("spec", "batch_size", "steps", *OF_THE_OPTIMIZER, "neuron", "precision", "seed")


Target = Annotated[
    str | None,
    typer.Argument(
        metavar="RECIPE|RUN",
        help="A recipe, a .py file that defines one, or a run's folder; or --network, --input and --classes.",
    ),
]
Data = Annotated[Path | None, typer.Option(help="Folder of the recipe's recordings: sensor size and classes.")]
Network = Annotated[str | None, typer.Option(help="A name such as vgg11, or notation such as 64C3-AP2-128R(s2).")]
Input = Annotated[str | None, typer.Option(help="One frame, CHANNELSxHEIGHTxWIDTH, such as 2x128x128.")]
Classes = Annotated[int | None, typer.Option(min=1, help="Number of classes.")]
Batch = Annotated[
    int | None,
    typer.Option(min=1, help=f"Sequences per batch.  [default: the recipe's, or {DEFAULTS['batch_size']}]"),
]
Steps = Annotated[
    int | None,
    typer.Option(min=1, help=f"T, time steps per sequence.  [default: the recipe's, or {DEFAULTS['steps']}]"),
]
RuleName = Annotated[str | None, one_of(RULES, "The learning rule.  [default: the recipe's, or stdl]", "--rule")]
RuleOptions = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="NAME=VALUE", help="An option of the rule, such as k=10; repeatable."),
]
Budget = Annotated[str | None, typer.Option(help="Memory that training may use, such as 8GB or 8GiB.")]
BudgetOf = Annotated[
    str | None,
    typer.Option(
        metavar="step|process",
        help="The budget is that of the metered step, or of the process with clip and allowance.  [default: step]",
    ),
]
Loss = Annotated[str | None, one_of(LOSSES, "The local loss of each block; the rule's own by default.", "--loss")]
Rho = Annotated[float | None, typer.Option(help="The budget as a share of the uncut network's memory, trained online.")]
GivenPlan = Annotated[str | None, typer.Option("--plan", metavar="paper|FILE", help="Cut as in this plan.")]
LeastBlocks = Annotated[
    int | None, typer.Option(min=1, help="Cut into at least this many blocks.  [default: two if possible]")
]
Mode = Annotated[
    bool | None,
    typer.Option("--lean/--plain", help="Lean mode, or ordinary autograd.  [default: the recipe's, or lean]"),
]
Auto = Annotated[
    bool, typer.Option("--auto", help="The fastest mode that fits: lean, with as many saved outputs as fit.")
]
NeuronKind = Annotated[str | None, one_of(NEURONS, "Kind of neuron.", "--neuron")]
Precision = Annotated[
    str | None,
    one_of(
        STEP_PRECISIONS,
        "Number formats. bf16: membrane potentials and currents, and convolutions where the device has such; "
        "bf16-convolutions or bf16-states: as on a machine with, or without them. int8-state: membrane potentials in "
        "eight bits between two steps; auto: the first that fits into the budget.",
        "--precision",
    ),
]
OptimizerKind = Annotated[
    str | None,
    one_of(OPTIMIZERS, f"Its states are counted.  [default: the recipe's, or {DEFAULT_OPTIMIZER}]", "--optimizer"),
]


@dataclasses.dataclass(frozen=True)
class Asked:
    """The subject of a command: a training by its name, or a network by itself.

    Args:
        target: a recipe, a file that defines one, or a run's folder.
        assignments, data, variant, config, data_options: of the target only.
        network, input, classes: all three without a target; with one, they replace what it says.
    """

    target: str | None
    assignments: list[str] | None
    data: Path | None
    network: str | None
    input: str | None
    classes: int | None
    variant: str | None = None
    config: Path | None = None
    data_options: DataOptions = NO_OPTIONS

    def options(self, rule_options: list[str] | None = None, **given: Any) -> dict[str, Any]:
        """Return the arguments of `plan_learner`.

        Args:
            given: options of the command line by the names of `plan_learner`; None if not given.

        Raises:
            UserError: neither a training nor a whole network is named, or an option has no use.
            StdlEventsError: the training cannot be found, or a setting is wrong.
        """
        wanted = {name: value for name, value in given.items() if value is not None}
        chosen = parse_assignments(rule_options or [])
        return self._of_network(wanted | chosen) if self.target is None else self._of_training(wanted, chosen)

    def _of_network(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        from stdl_events.network.zoo import parse_network

        of_recipes = {
            "--set": self.assignments,
            "--data": self.data,
            "--variant": self.variant,
            "--config": self.config,
            **dict.fromkeys(self.data_options.flags, True),
        }
        useless = [name for name, value in of_recipes.items() if value]
        if useless:
            raise UserError(
                " and ".join(useless),
                got="no recipe",
                expected="a recipe or a run to change",
                todo="name it first, such as folder; or leave them out",
            )
        if self.network is None or self.input is None or self.classes is None:
            raise UserError(
                "what to measure",
                got="neither a recipe or a run, nor all of --network, --input and --classes",
                expected="one of the two",
                todo="name a recipe, such as folder with --data DIR, or give the three options",
            )
        spec = parse_network(self.network, input_shape=parse_shape(self.input), classes=self.classes)
        return {**DEFAULTS, "spec": spec, **wanted}

    def _of_training(self, wanted: Mapping[str, Any], rule_options: Mapping[str, Any]) -> dict[str, Any]:
        from stdl_events.cli.find_training import find_training
        from stdl_events.learning.rules import get_rule
        from stdl_events.memory.choose_plan import check_plan_options
        from stdl_events.training.build_learner import learner_options

        assert self.target is not None
        settings = {SETTINGS[name]: value for name, value in wanted.items() if name in SETTINGS}
        settings |= {"network.notation": self.network, "data.path": self.data and self.data.resolve()}
        if "rule" in wanted:  # the recipe's options are those of its own rule
            settings |= dict.fromkeys(_rule_settings(), "none")
        settings |= {f"learning.options.{name}": value for name, value in rule_options.items()}
        flags = [f"{key}={value}" for key, value in settings.items() if value is not None]
        assignments = [*(self.assignments or []), *self.data_options.assignments, *flags]
        training = find_training(self.target, assignments, variant=self.variant, file=self.config)
        ways_to_cut = {name: wanted.get(name) for name in ("budget", "rho", "plan")}
        check_plan_options(get_rule(training.config.learning.rule), **ways_to_cut)
        shape = None if self.input is None else parse_shape(self.input)
        classes = self.classes
        if shape is None or classes is None:
            own_shape, own_classes = training.input_and_classes()
            shape, classes = shape or own_shape, classes or own_classes
        spec = training.config.network.spec(shape, classes, training.config.learning.rule)
        return learner_options(training.config, spec) | {"neuron": wanted.get("neuron")}


def _rule_settings() -> list[str]:
    from stdl_events.training.learning_settings import RuleOptions

    return [f"learning.options.{name}" for name in RuleOptions.model_fields]


def memory_mode(lean: bool | None, auto: bool) -> str | None:
    """Return the mode of --auto, --lean and --plain, None without any."""
    if auto or lean is None:
        return "auto" if auto else None
    return "lean" if lean else "plain"


def shared_options(options: Mapping[str, Any], *, but: Collection[str] = ()) -> dict[str, Any]:
    """Return the options that apply to every rule, without those in `but`."""
    return {name: options[name] for name in SHARED if name in options and name not in but}
