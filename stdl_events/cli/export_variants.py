"""The variants of `stdl-events export`: a number format, or the quickest of all within a bound of accuracy."""

import dataclasses
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stdl_events.cli.options.registry_options import one_of
from stdl_events.cli.output import messages
from stdl_events.errors import ModelError
from stdl_events.export.precisions import PRECISIONS

if TYPE_CHECKING:
    from stdl_events.export.precisions import ClipsNTCHW
    from stdl_events.export.variants import Variant
    from stdl_events.export.whole_clip import WholeClip
    from stdl_events.frames.spec import FrameSpec
    from stdl_events.training.evaluation.variant_choice import Choice

DEFAULT = "float32"
WITHIN = 0.5
FOR_ONNX = ("--opset", "--whole-clip")

PrecisionOption = Annotated[
    str | None,
    one_of(
        PRECISIONS,
        "Number format. float16: half the size, computed in float32. int8: convolutions and linear layers in eight "
        "bits, calibrated on clips of the training part; spikes stay exact.  [default: float32]",
    ),
]
AutoOption = Annotated[
    bool,
    typer.Option(
        "--auto",
        help="Make all number formats and keep the quickest here that is no slower than float32 and as accurate, by "
        "clips to validate on, or to train on where there are none. Held-out recordings choose nothing.",
    ),
]
WithinOption = Annotated[
    float | None, typer.Option(min=0, max=100, help="Points of accuracy that --auto may lose.  [default: 0.5]")
]
WholeClipOption = Annotated[
    bool,
    typer.Option(
        "--whole-clip",
        help="Take all frames of a clip in one call, for recordings: the same numbers, quicker. evaluate uses such a "
        "file; live and predict need one of a frame in a call.",
    ),
]
OpsetOption = Annotated[
    int | None,
    typer.Option(metavar="17..22", help="Version of the ONNX operator set, for older runtimes.  [default: 20]"),
]


class Variants:
    """What becomes of a verified float32 file.

    Args:
        run, data: the run's folder, and the current folder of its recordings.
        precision: a name of `PRECISIONS`; None is float32.
        within: points of accuracy that the quickest may lose.
        opset: version of the operator set; None is the exporter's own choice.
        auto: choose the quickest instead of `precision`.
        whole_clip: make a file of whole clips of it.

    Raises:
        BadParameter: an option has no effect.
        UserError: there is no such operator set.
    """

    def __init__(
        self,
        run: Path,
        data: Path | None,
        precision: str | None,
        within: float | None,
        opset: int | None,
        *,
        auto: bool,
        whole_clip: bool = False,
    ) -> None:
        if auto and precision is not None:
            raise typer.BadParameter("--auto chooses the format; leave one of the two out", param_hint="--precision")
        if within is not None and not auto:
            raise typer.BadParameter("without --auto it has no effect; leave it out", param_hint="--within")
        if opset is not None:
            from stdl_events.export.opsets import check_opset

            check_opset(opset)
        self._given = {
            "--precision": precision,
            "--auto": "all" if auto else None,
            "--opset": opset,
            "--whole-clip": "whole clips" if whole_clip else None,
        }
        self._run, self._data, self._precision = run, data, precision or DEFAULT
        self._within = (WITHIN if within is None else within) if auto else None
        self.whole_clip = whole_clip
        self._variant: Variant | None = None
        self._clip_file: WholeClip | None = None
        self._choice: Choice | None = None

    def refuse(self, kind: str) -> None:
        """Refuse the options of ONNX files.

        Args:
            kind: the suffix of another kind of file.

        Raises:
            ModelError: one is given.
        """
        for option, value in self._given.items():
            if value not in (None, DEFAULT):
                raise ModelError(
                    option, got=f"{value} for a .{kind} file",
                    expected="an .onnx file" if option in FOR_ONNX else "float32, the only one that it can hold",
                    todo=f"leave {option} out, or export to .onnx",
                )  # fmt: skip

    @property
    def is_plain(self) -> bool:
        """True if the float32 file itself is what was asked for."""
        return self._within is None and self._precision == DEFAULT and not self.whole_clip

    def write(self, source: Path, frame: "FrameSpec", out: Path, held_out_NTCHW: "ClipsNTCHW | None" = None) -> None:
        """Write the variant of `source` that was asked for to `out`.

        Args:
            held_out_NTCHW: held-out clips, on which a file of whole clips is compared with that of single steps.

        Raises:
            RunError, DatasetError: clips of the run cannot be read.
            ModelError, VerificationError: see `write_variant` and `write_whole_clip`.
        """
        if not self.whole_clip:
            self._write_steps(source, frame, out)
            return
        from stdl_events.export.whole_clip import write_whole_clip

        with TemporaryDirectory(prefix="stdl-events-") as folder:
            of_steps = source
            if self._within is not None or self._precision != DEFAULT:
                of_steps = Path(folder) / "steps.onnx"
                self._write_steps(source, frame, of_steps)
            self._clip_file = write_whole_clip(of_steps, held_out_NTCHW, out)

    def _write_steps(self, source: Path, frame: "FrameSpec", out: Path) -> None:
        from stdl_events.export.variants import CLIPS, keep_variant, write_variant
        from stdl_events.training.evaluation.evaluate_run import clips_to_train
        from stdl_events.training.evaluation.variant_choice import choose_variant, clips_of_run

        if self._within is None:
            self._variant = write_variant(
                self._precision, source, clips_to_train(self._run, frame, CLIPS, self._data), out
            )
            return
        clips = clips_of_run(self._run, frame, self._data)
        with messages.status("choosing") as status, TemporaryDirectory(prefix="stdl-events-") as folder:
            self._choice, kept = choose_variant(
                source, clips, Path(folder), within=self._within, progress=lambda done: status.update(done)
            )
            keep_variant(kept, out)

    def facts(self) -> dict[str, Any]:
        """Return what was made for JSON: `variant`, `variants` if one was chosen, `whole_clip`; {} for a plain file."""
        made = {"variant": self._variant, "variants": self._choice, "whole_clip": self._clip_file}
        return {name: dataclasses.asdict(each) for name, each in made.items() if each is not None}

    def lines(self) -> list[str]:
        """Return what was made, in words."""
        return [*self._lines_of_steps(), *([] if self._clip_file is None else [self._clip_file.to_text()])]

    def _lines_of_steps(self) -> list[str]:
        if self._choice is not None:
            return self._choice.lines()
        made = self._variant
        if made is None:
            return []
        return [
            made.precision,
            f"{made.float32_bytes / made.bytes:.1f} times smaller than float32; {made.agreeing} of {made.clips} clips "
            f"of the training part keep their class, their mean logits differ by at most {made.largest_difference:.2g}",
        ]
