"""Clips cut once and kept: a store of all clips of a dataset, with a manifest of its sources.

    <store>/manifest.json          what is in it, and from what it was made; `complete` is written last
    <store>/00000.clips ...        the clips of consecutive recordings, compressed, see `shards`

`prepare` makes a store, on several cores, and goes on where a killed run was; `PreparedSet` reads one, and refuses what
is not complete, not what was asked for, or not of the recordings as they are now.
"""

from stdl_events.prepared.making import Preparation, prepare
from stdl_events.prepared.manifest import Manifest
from stdl_events.prepared.store import PreparedSet

__all__ = ["Manifest", "Preparation", "PreparedSet", "prepare"]
