"""Prepared clips: a store of all clips of a dataset, cut once, with a manifest of its sources.

    <store>/manifest.json          content and sources; `complete` is written last
    <store>/00000.clips ...        the clips of consecutive recordings, compressed, see `shards`

`prepare` writes a store with several processes and resumes an interrupted run. `PreparedSet` reads a store, and raises
if it is incomplete, differs from the request, or its recordings have changed.
"""

from stdl_events.prepared.make_store import Preparation, prepare
from stdl_events.prepared.manifest import Manifest
from stdl_events.prepared.store import PreparedSet

__all__ = ["Manifest", "Preparation", "PreparedSet", "prepare"]
