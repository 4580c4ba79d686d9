"""`stdl-events calibrate`: probabilities and thresholds that a run's predictions can be trusted by."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stdl_events.cli.next_step import say_next
from stdl_events.cli.options.weights_option import WeightsOption, parse_weights
from stdl_events.cli.output import messages, print_json, print_warning, results
from stdl_events.events.defects import count_of

if TYPE_CHECKING:
    from stdl_events.training.evaluation.calibrate import Calibration

PICTURES = {".png": 1, ".svg": 1, ".pdf": 1}


def register(app: typer.Typer) -> None:
    """Add this stage's command to `app`."""
    app.command()(calibrate)


def calibrate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run with a validation part.")],
    weights: WeightsOption = None,
    target_error: Annotated[
        float, typer.Option("--target-error", min=0, max=1, help="Wrong clips among those that are believed, at most.")
    ] = 0.02,
    target_agreement: Annotated[
        float,
        typer.Option(
            "--target-agreement",
            min=0,
            max=1,
            help="Clips decided early as at their ends, and clips of movements that are not still, at least.",
        ),
    ] = 0.99,
    data: Annotated[Path | None, typer.Option(help="Folder of the recordings, if it has moved.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also draw the curves, as .png, .svg or .pdf.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Fit and show; leave the model card as it is.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Fit how far predictions can be trusted: a temperature, unknown, nothing there, and when a clip is decided.

    Fitted are: a temperature, after which probabilities are closer to the share that is right; the probability below
    which a clip is unknown, so that at most --target-error of the others are wrong; and the one at which a clip is
    decided before its end, as it would be there in --target-agreement of the clips. Where labelled movements leave
    still parts between them, also the rate of events below which nothing is there. All on the run's validation part:
    the held-out recordings are not read, and evaluate tests on them. The results are in the card of the run's weights,
    from where export takes them; live and evaluate apply them.

    Example: stdl-events calibrate runs/folder --target-error 0.05 --out calibration.png
    """
    from stdl_events.analysis.figures import number_to_show
    from stdl_events.training.evaluation import calibrate as calibration
    from stdl_events.training.run_weights import weights_text
    from stdl_events.whole_file import require_place

    if out is not None:
        number_to_show(out, PICTURES)
        require_place(out, room_for="picture")
    chosen = parse_weights(weights)
    found = calibration.calibrate(
        run, weights=chosen, data=data, device=device, target_error=target_error, target_agreement=target_agreement,
        write=not dry_run,
    )  # fmt: skip
    if out is not None:
        _draw(out, found)
    if as_json:
        print_json({"run": str(run), "written": not dry_run} | found.document())
        return
    messages.print(f"{run}: {weights_text(run, chosen)}")
    results.print("\n".join(lines(found)))
    for caution in found.cautions:
        print_warning(caution)
    if dry_run:
        messages.print("the model card is as it was (--dry-run)")
        return
    messages.print(f"{found.document()['card']}: temperature and thresholds written")
    say_next("export", run, *([] if weights is None else ["--weights", weights]), "--out", "model.onnx")


def lines(found: "Calibration") -> list[str]:
    """Return the results in words, each within 80 columns for numbers of clips below 100,000."""
    document = found.document()
    nll, ece, rejection, early = (document[name] for name in ("nll", "ece", "rejection", "early"))
    temperature = "1, as it was" if found.temperature is None else f"{found.temperature:.3g}"
    clips, recordings = count_of(document["clips"], "clip"), count_of(document["recordings"], "recording")
    said = [
        f"fitted on {clips} of {recordings} to validate on",
        f"temperature {temperature}: calibration error {ece['before']:.3f} -> {ece['after']:.3f}",
        f"  negative log likelihood {nll['before']:.3f} -> {nll['after']:.3f}",
        f"unknown below {rejection['threshold']:g}: {rejection['accepted']} of {clips} believed "
        f"({rejection['coverage']:.3f})",
        f"  {rejection['wrong']} of these wrong ({rejection['error']:.3f}), {rejection['error_of_all']:.3f} of all",
    ]
    if found.early.threshold is None:
        return [*said, f"decide at the end, after {count_of(early['steps'], 'frame')}", *still_lines(found)]
    saved = "" if early["saved_us"] is None else f", {early['saved_us'] / 1000:.0f} ms saved"
    frames = f"{early['mean_frames']:.1f} of {count_of(early['steps'], 'frame')} on average"
    return [
        *said,
        f"decide at {early['threshold']:g}: after {frames}{saved}",
        f"  {early['early']} of {clips} early, {early['other']} of them otherwise than at the end",
        *still_lines(found),
    ]


def still_lines(found: "Calibration") -> list[str]:
    """Return the lines about scenes in which nothing moves."""
    if isinstance(found.still, str):
        return ["nothing there below: as it was", f"  {found.still_text}"]
    if not found.still.threshold:
        return ["nothing there: no rate of events tells still clips from moving ones"]
    return [f"nothing there below {found.still.threshold:g} events/s", f"  {found.still_text}"]


def _draw(path: Path, found: "Calibration") -> None:
    from stdl_events.analysis.calibration_picture import calibration_picture

    bins = {name: one.reliability() for name, one in (("before", found.before), ("after", found.after))}
    calibration_picture(
        path, {name: (one.confidence_M, one.accuracy_M) for name, one in bins.items()},
        found.probabilities_NTK, found.after.right_N, found.rejection, found.early,
    )  # fmt: skip
