"""`stdl-events export`: a run to one file that runs without PyTorch."""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from stdl_events.cli.export_variants import (
    AutoOption,
    OpsetOption,
    PrecisionOption,
    Variants,
    WholeClipOption,
    WithinOption,
)
from stdl_events.cli.next_step import say_next_live
from stdl_events.cli.options.decision_options import (
    DecideAtOption,
    HoldOption,
    StillBelowOption,
    UnknownBelowOption,
    thresholds_from,
)
from stdl_events.cli.options.weights_option import WeightsOption, parse_weights
from stdl_events.cli.output import messages, print_json, print_warning, results
from stdl_events.cli.working import working


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
    whole_clip: WholeClipOption = False,
    held_out: Annotated[
        str | None,
        typer.Option(
            "--held-out",
            metavar="all|some|none",
            help="Held-out recordings to check the file on, and, if all, to state its accuracy by.  [default: all if "
            "they are there and take seconds, else some]",
        ),
    ] = None,
    check_steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Steps of each sequence of the check; fewer for a large network, whose check takes minutes.  "
            "[default: 200]",
        ),
    ] = None,
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
    network in onnxruntime for 200 steps of simulated frames and of held-out recordings, which choose nothing; a file
    that disagrees is removed (exit code 5). Then its own accuracy on them is measured. Both are in its model card, and
    in full beside it: OUT.proof.md to read, OUT.proof.json for programs.
    OUT.nir is the graph of the network in the Neuromorphic Intermediate Representation, checked in the same way by an
    interpreter of ours. NIR has no soft reset and no surrogate gradient: both are in its metadata.
    The thresholds that calibrate fitted, or the options from --unknown-below to --decide-at, are stored with it; live
    applies them.

    Example: stdl-events export runs/demo --out model.onnx
    """
    from stdl_events.export.onnx import export_onnx
    from stdl_events.export.proof import accuracy_line, proof_document, verification_lines, write_proof
    from stdl_events.export.registry import EXPORTERS, kind_of
    from stdl_events.export.verify import STEPS
    from stdl_events.live.signature import SignedBefore, read_private_key, sign_file
    from stdl_events.training.bundle import load_bundle
    from stdl_events.training.evaluation.export_proof import held_out_proof, parse_use
    from stdl_events.training.progress import LineProgress
    from stdl_events.training.run_weights import bundle_folder

    kind, variants = kind_of(out), Variants(run, data, precision, within, opset, auto=auto, whole_clip=whole_clip)
    if kind != "onnx":
        variants.refuse(kind)
    steps = check_steps or STEPS
    key, use = read_private_key(sign) if sign is not None else None, parse_use(held_out)
    network, card = load_bundle(bundle_folder(run, parse_weights(weights)))
    thresholds = thresholds_from(card.decision, unknown_below, still_below, hold, decide_at)
    card = card.model_copy(update={"decision": thresholds})
    before = SignedBefore(out)
    with working("reading held-out recordings"):
        proof = held_out_proof(run, card.frame, use, data)
    with TemporaryDirectory(prefix="stdl-events-") as folder:
        file = out if variants.is_plain else Path(folder) / "model.onnx"
        with messages.status("exporting and checking"), LineProgress("steps compared", console=messages) as progress:
            exporter = EXPORTERS[kind] if opset is None else partial(export_onnx, opset=opset)
            agreement = exporter(
                network, card, file, proof.frames(steps), held_out_of=proof.of, steps=steps, progress=progress.at
            )
        if not variants.is_plain:
            variants.write(file, card.frame, out, proof.frames(steps))
    with working("evaluating the file"):
        accuracy = proof.evaluate(out) if kind == "onnx" else None
    document = proof_document(
        out, agreement, accuracy, held_out_of=proof.of, left_out=proof.left_out, further=variants.facts()
    )
    written = write_proof(out, document)
    signature = sign_file(out, key) if key is not None else None
    if signature is None and (stale := before.remove_if_stale()) is not None:
        print_warning(f"{stale} signed the file that was here before, and is removed: sign this one with --sign")
    if json:
        signed = {"signature": str(signature)} if signature is not None else {}
        found = document.pop("verification")
        print_json(document | found | {"path": str(out), "proof": str(written), **signed})
        return
    size = out.stat().st_size
    results.print(f"{out}: {size / 1e6:.2f} MB, {len(card.labels)} classes, {card.network['notation']}")
    results.print("\n".join(verification_lines(document)), markup=False)
    if not variants.is_plain:
        results.print("\n".join(variants.lines()), markup=False)
    results.print(accuracy_line(document["accuracy"], proof.left_out), markup=False)
    results.print(f"{written}: the proof in full", markup=False)
    if signature is not None:
        results.print(f"{signature}: its signature by {sign}")
    if kind == "onnx":
        if not whole_clip:
            say_next_live(out, card, run)
    elif network.spec.neuron.reset == "soft":
        print_warning(
            "NIR has no soft reset: importers reset to zero unless they are told; see docs/deployment.md, NIR"
        )
