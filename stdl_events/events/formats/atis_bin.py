"""The headerless .bin of N-MNIST and N-Caltech101: 5 bytes an event: x, y, then polarity and a 23-bit time.

The third byte is `p << 7 | t[22:16]`, then `t[15:8]`, `t[7:0]`: big-endian microseconds. Pictures are stored upright.
Source: the datasets' own description, G. Orchard et al., "Converting static image datasets to spiking neuromorphic
datasets using saccades", 2015.
"""

from pathlib import Path

import numpy as np

from stdl_events.events.decoder import Header, Records, RecordsDecoder
from stdl_events.events.formats.format import Format, Signature
from stdl_events.events.stream import EVENT_DTYPE, EventArray

RECORD_DTYPE = np.dtype([("x", "u1"), ("y", "u1"), ("p_t22", "u1"), ("t15", ">u2")])
NMNIST_SIZE = (34, 34)


def open_nmnist(path: Path) -> RecordsDecoder:
    """Open an N-MNIST recording, 34x34 by its format."""
    return RecordsDecoder(path, Header(NMNIST_SIZE, "format"), RECORD_DTYPE, 0, lambda: _decode)


def open_ncaltech(path: Path) -> RecordsDecoder:
    """Open an N-Caltech101 recording; each has its own sensor size, which the format does not store."""
    return RecordsDecoder(path, Header(), RECORD_DTYPE, 0, lambda: _decode)


def fits_nmnist(path: Path) -> bool:
    """True if the file's first 65536 complete records, more than N-MNIST's largest file has, fit into 34x34 pixels."""
    records = np.fromfile(path, RECORD_DTYPE, count=1 << 16)
    return bool((records["x"] < NMNIST_SIZE[0]).all() and (records["y"] < NMNIST_SIZE[1]).all())


def _decode(records: Records) -> EventArray:
    events = np.empty(len(records), EVENT_DTYPE)
    events["t"] = (records["p_t22"].astype(np.int64) & 127) << 16 | records["t15"]
    events["x"] = records["x"]
    events["y"] = records["y"]
    events["p"] = records["p_t22"] >> 7
    return events


NMNIST = Format("N-MNIST, 34x34", open_nmnist, (".bin",), (Signature(fits=fits_nmnist),))
NCALTECH = Format("N-Caltech101", open_ncaltech, (".bin",))
