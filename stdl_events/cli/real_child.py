"""The child process of `memory --real`: `python -m stdl_events.cli.real_child`, with a request on stdin.

The kernel is asked to end this process before all others where memory runs out.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

from stdl_events.cli.output import print_error
from stdl_events.cli.real_step import asked_again
from stdl_events.errors import StdlEventsError
from stdl_events.memory.process import end_first
from stdl_events.plugins import load_plugin


def main() -> None:
    end_first()
    document = json.load(sys.stdin)
    try:
        for plugin in document["plugins"]:
            load_plugin(plugin)
        _write({"result": _measured(document)})
    except StdlEventsError as error:
        print_error(error)
        sys.exit(error.exit_code)


def _measured(document: Mapping[str, Any]) -> dict[str, Any]:
    from stdl_events.cli.real_step import PLANNING
    from stdl_events.learning.blueprint import Blueprint
    from stdl_events.memory.measure_real import measure_real
    from stdl_events.memory.report import measure_on_cuda
    from stdl_events.plan.plan import Plan

    asked, rule_options, given = asked_again(document)
    options = asked.options(rule_options, **given)
    chosen = {name: value for name, value in options.items() if name not in PLANNING}
    blueprint = Blueprint.of(**chosen | {"precision": document["precision"]}, memory=document["mode"])
    plan = None if document["plan"] is None else Plan.from_dict(document["plan"])
    metered = document["metered_bytes"]
    if document["device"] == "cuda":
        return measure_on_cuda(blueprint, plan, metered).to_dict()

    def progress(done: int, of: int) -> None:
        _write({"done": done, "of": of})

    return measure_real(blueprint, plan, metered, progress=progress).to_dict()


def _write(line: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
