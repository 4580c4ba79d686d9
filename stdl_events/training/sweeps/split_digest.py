"""Whether two runs were tested on the same recordings: a digest of one side of the list of their split."""

import hashlib
import json
from pathlib import Path

from stdl_events.recordings.splits.sides import Side
from stdl_events.recordings.splits.split_list import SPLIT_FILE, read_split_list


def side_digest(folder: Path, side: Side) -> str | None:
    """SHA-256 of the recordings on one side of a run's list, whatever their order and their folder.

    Returns:
        None if the run has no list, or nothing on this side.

    Raises:
        DatasetError: the list does not parse.
    """
    listed = read_split_list(folder / SPLIT_FILE)
    rows = () if listed is None else listed.side(side)
    if not rows:
        return None
    plain = (row.model_dump(mode="json", exclude={"path"}, exclude_defaults=True) for row in rows)
    lines = sorted(json.dumps(row, sort_keys=True, ensure_ascii=False) for row in plain)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
