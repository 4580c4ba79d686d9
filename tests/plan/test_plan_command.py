"""The command `stdl-events plan`: its options reach the planner."""

import json

from typer.testing import CliRunner

from stdl_events.cli import app

NETWORK = ["--network", "8C3-16C3-AP2-16C3", "--input", "2x16x16", "--classes", "10", "--batch", "8"]


def plan(*options: str) -> dict:
    result = CliRunner().invoke(app, ["plan", *NETWORK, *options, "--json"])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_at_least_so_many_blocks_are_made():
    assert len(plan("--budget", "1GB", "--least-blocks", "1")["blocks"]) == 1
    assert len(plan("--budget", "1GB")["blocks"]) == 2
    assert len(plan("--budget", "1GB", "--least-blocks", "3")["blocks"]) == 3
