"""What a comparison of an exported file with its network found."""

from dataclasses import dataclass, field

from stdl_events.model_card import Verification

TOLERANCE = 1e-4
# Rounding may move a spike, and with it a clip between two classes: one clip in this many at most.
CLIPS_PER_OTHER_CLASS = 50


@dataclass
class LayerAgreement:
    """One layer, over all sequences.

    Attributes:
        name: its number and notation.
        neurons: of one sequence; 0 for a classifier without neurons.
        spikes: that the network's layer fired.
        compared: states compared, and logits of a classifier.
        largest_difference: among them.
        near_threshold: neurons that fired on one side only, all within `TOLERANCE` of their threshold.
        near_rounding: states in eight bits that were rounded to neighbouring integers, all within `TOLERANCE` of the
            middle between both.
        at_the_ends: states in eight bits that are the least or the largest integer.
        skipped: values behind such neurons of earlier layers in the same step, not compared.
    """

    name: str
    neurons: int
    spikes: int = 0
    compared: int = 0
    largest_difference: float = 0.0
    near_threshold: int = 0
    near_rounding: int = 0
    at_the_ends: int = 0
    skipped: int = 0

    @property
    def silent(self) -> bool:
        """True if its neurons never fired."""
        return self.neurons > 0 and self.spikes == 0


@dataclass
class Agreement:
    """Result of the comparison.

    Attributes:
        steps: time steps of each sequence.
        simulated_sequences: sequences of simulated frames.
        held_out_clips: clips of held-out recordings, joined to sequences.
        batch_sizes: of the sequences.
        layers: teacher-forced, layer by layer.
        compared, largest_difference, near_threshold, near_rounding, at_the_ends, skipped: of all layers; see
            `LayerAgreement`.
        never_compared: states that were skipped in every step.
        runs: clips and simulated sequences over which each side kept its own state.
        other_classes: those of them that get another class.
        largest_free_difference: of the mean logits over one of them.
    """

    steps: int
    simulated_sequences: int = 0
    held_out_clips: int = 0
    batch_sizes: tuple[int, ...] = ()
    layers: list[LayerAgreement] = field(default_factory=list)
    compared: int = 0
    largest_difference: float = 0.0
    near_threshold: int = 0
    near_rounding: int = 0
    at_the_ends: int = 0
    skipped: int = 0
    never_compared: int = 0
    runs: int = 0
    other_classes: int = 0
    largest_free_difference: float = 0.0

    @property
    def silent_layers(self) -> tuple[str, ...]:
        """Names of the layers that never fired."""
        return tuple(layer.name for layer in self.layers if layer.silent)

    def add_up(self) -> None:
        """Sum the counts of the layers."""
        self.compared = sum(layer.compared for layer in self.layers)
        self.near_threshold = sum(layer.near_threshold for layer in self.layers)
        self.near_rounding = sum(layer.near_rounding for layer in self.layers)
        self.at_the_ends = sum(layer.at_the_ends for layer in self.layers)
        self.skipped = sum(layer.skipped for layer in self.layers)
        self.largest_difference = max(layer.largest_difference for layer in self.layers)

    def problem(self) -> str | None:
        """The disagreement, in words; None if there is none."""
        if not self.largest_difference <= TOLERANCE:
            return f"numbers that differ by {self.largest_difference:.2g} (at most {TOLERANCE:g} are allowed)"
        if self.never_compared:
            return f"{self.never_compared} outputs that could never be compared"
        if self.other_classes > self.runs // CLIPS_PER_OTHER_CLASS:
            return f"other predictions over {self.other_classes} of {self.runs} whole sequences"
        return None

    def verification(self, held_out_of: str = "") -> Verification:
        """Return the entry of the model card.

        Args:
            held_out_of: the dataset of the held-out clips.
        """
        return Verification(
            steps=self.steps, simulated_sequences=self.simulated_sequences, held_out_clips=self.held_out_clips,
            held_out_of=held_out_of if self.held_out_clips else "", batch_sizes=self.batch_sizes,
            compared=self.compared, largest_difference=float(f"{self.largest_difference:.2g}"),
            near_threshold=self.near_threshold, near_rounding=self.near_rounding,
            at_the_ends=float(f"{self.at_the_ends / max(1, self.compared):.2g}"), other_classes=self.other_classes,
            silent_layers=self.silent_layers,
        )  # fmt: skip
