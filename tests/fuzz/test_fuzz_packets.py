"""Damaged packets of each protocol: nothing crashes, and the counters add up; a few hundred of them."""

import fuzz_packets
import pytest

from stdl_events.events import SOURCES

# Files, and cameras, whose packets eventcv decodes.
WITHOUT_PACKETS = {"file", "follow", "eventcv"}


@pytest.mark.parametrize("protocol", fuzz_packets.PROTOCOLS)
def test_damaged_packets_are_counted(protocol):
    outcomes = fuzz_packets.run(protocol, 400, seed=3)
    assert outcomes["packets"] >= 400
    assert outcomes["events"] > 500
    assert len(outcomes) > 3


def test_every_protocol_is_here():
    assert {name.split(",")[0] for name in fuzz_packets.PROTOCOLS} == set(SOURCES) - WITHOUT_PACKETS
