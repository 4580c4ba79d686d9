"""`stdl-events export`: a run to one file that runs without PyTorch."""

import dataclasses
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from stdl_events.cli.decision_options import (
    DecideAtOption,
    HoldOption,
    StillBelowOption,
    UnknownBelowOption,
    thresholds_from,
)
from stdl_events.cli.export_variants import AutoOption, OpsetOption, PrecisionOption, Variants, WithinOption
from stdl_events.cli.next_step import say_next_live
from stdl_events.cli.output import messages, print_json, print_warning, results
from stdl_events.cli.weights_option import WeightsOption, parse_weights


def register(app: typer.Typer) -> None:
    """Add this stage's commands to `app`."""
    app.command("export")(export)


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run, or one of its bundles.")],
    out: Annotated[
        Path,
        typer.Option(
            help="The file to write, .onnx, or .nir for other simulators and chips; an older one is replaced.",
        ),
    ],
    weights: WeightsOption = None,
    unknown_below: UnknownBelowOption = None,
    still_below: StillBelowOption = None,
    hold: HoldOption = None,
    decide_at: DecideAtOption = None,
    precision: PrecisionOption = None,
    auto: AutoOption = False,
    within: WithinOption = None,
    opset: OpsetOption = None,
    data: Annotated[Path | None, typer.Option(help="Current folder of the recordings.")] = None,
    sign: Annotated[
        Path | None,
        typer.Option(
            "--sign", metavar="KEY.pem", help="Sign the file with this Ed25519 key: OUT.sig, which live can require."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write a trained network as one self-describing file, ONNX or NIR, checked before it is kept.

    The auxiliary networks are omitted, and batch norm is folded into the weights. One call is one time step, with the
    state as inputs and outputs. The file stores its frame spec, its labels and its origin. It is compared with the
    network in onnxruntime for 50 steps of simulated frames; a file that disagrees is removed (exit code 5).
    OUT.nir is the graph of the network in the Neuromorphic Intermediate Representation, checked in the same way by an
    interpreter of ours. NIR has no soft reset and no surrogate gradient: both are in its metadata.
    The thresholds that calibrate fitted, or the options from --unknown-below to --decide-at, are stored with it; live
    applies them.

    Example: stdl-events export runs/demo --out model.onnx
    """
    from stdl_events.export.onnx import export_onnx
    from stdl_events.export.registry import EXPORTERS, kind_of
    from stdl_events.live.signature import read_private_key, sign_file
    from stdl_events.training.bundle import load_bundle
    from stdl_events.training.keeping import bundle_folder

    kind, variants = kind_of(out), Variants(run, data, precision, within, opset, auto=auto)
    if kind != "onnx":
        variants.refuse(kind)
    key = read_private_key(sign) if sign is not None else None
    network, card = load_bundle(bundle_folder(run, parse_weights(weights)))
    thresholds = thresholds_from(card.decision, unknown_below, still_below, hold, decide_at)
    card = card.model_copy(update={"decision": thresholds})
    with TemporaryDirectory(prefix="stdl-events-") as folder:
        file = out if variants.is_plain else Path(folder) / "model.onnx"
        with messages.status("exporting and checking"):
            exporter = EXPORTERS[kind] if opset is None else partial(export_onnx, opset=opset)
            agreement = exporter(network, card, file)
        if not variants.is_plain:
            variants.write(file, card.frame, out)
    signature = sign_file(out, key) if key is not None else None
    size = out.stat().st_size
    if json:
        signed = {"signature": str(signature)} if signature is not None else {}
        print_json({"path": str(out), "bytes": size, **signed, **dataclasses.asdict(agreement), **variants.facts()})
        return
    results.print(f"{out}: {size / 1e6:.2f} MB, {len(card.labels)} classes, {card.network['notation']}")
    results.print(
        f"checked over {agreement.steps} steps: {agreement.compared} numbers within "
        f"{agreement.largest_difference:.1e}, {agreement.near_threshold} neurons on the threshold excused, "
        f"{agreement.skipped} numbers behind them skipped, same predictions"
    )
    if not variants.is_plain:
        results.print("\n".join(variants.lines()), markup=False)
        results.print(f"its accuracy on held-out recordings: stdl-events evaluate {run} --model {out}", markup=False)
    if signature is not None:
        results.print(f"{signature}: its signature by {sign}")
    if kind == "onnx":
        say_next_live(out, card, run)
    elif network.spec.neuron.reset == "soft":
        print_warning(
            "NIR has no soft reset: importers reset to zero unless they are told; see docs/deployment.md, NIR"
        )
