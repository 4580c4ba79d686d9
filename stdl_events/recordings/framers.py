"""The registry of framers, which cut a recording into the clips of a frame spec: the names of `data.framer`.

All framers make equal frames, since live inference has one of its own.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from stdl_events.errors import RecipeError
from stdl_events.registry import Registry

if TYPE_CHECKING:
    from stdl_events.events import Recording
    from stdl_events.frames import FrameSpec
    from stdl_events.recordings.cutting import EntryClips
    from stdl_events.recordings.entry import Entry

Cut: TypeAlias = "Callable[[Entry, Recording, FrameSpec], EntryClips]"

FRAMERS: Registry[Cut] = Registry(
    "framer",
    RecipeError,
    {"own": "stdl_events.recordings.cutting:cut_clips", "tonic": "stdl_events.recordings.tonic_frames:cut_by_tonic"},
)
