"""Export a finished run to one ONNX file that runs without PyTorch. Copy this file and edit it.

python apps/export_model.py runs/gait gait.onnx
"""

import sys
from pathlib import Path

from stdl_events.errors import StdlEventsError
from stdl_events.export.onnx import export_onnx
from stdl_events.training.bundle import load_bundle
from stdl_events.training.run_weights import weights_folder


def main(run: str, out: str) -> None:
    network, card = load_bundle(weights_folder(Path(run)))
    agreement = export_onnx(network, card, Path(out))
    print(f"{out}: recognises {', '.join(card.labels)}")
    print(f"checked over {agreement.steps} steps: differs by at most {agreement.largest_difference:.1e}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except StdlEventsError as error:
        print(f"export_model: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
