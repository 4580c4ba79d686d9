"""File formats of recordings: the registries of readers and writers, and a module for each format.

`FORMATS` and `WRITERS` are the only lists. A format is one module that defines a `Format`, and one line here:
aedat2 (and AEDAT 1), aedat3, aedat4, evt and evt3 (EVT 2.0, 2.1 and 3.0), dat, es, hdf5 (ours), hdf5_layouts (others'),
mcap (of `live --record`), npy, npz, atis_bin (N-MNIST and N-Caltech101), text; with_faery writes through the package
faery.

Shared modules: format (the type `Format`), recognise (format of a file), clock (times that wrap), columns (assignment
of t, x, y and p), column_reading, polarity and pixel_values (their values), text_header and text_numbers, text_loop,
evt3_loop and es_loop (compiled, where that pays), stated_size, hdf5_size, hdf5_pandas (frames of pandas), flatbuffers
(tables with checked offsets), prophesee (`%` headers), aedat4_layout (header and packets of AEDAT 4), aedat4_extras and
aedat4_child (its pictures, IMU samples and triggers).
"""

from stdl_events.errors import RecordingError
from stdl_events.events.formats.format import Format, FormatRegistry, Signature, Writer
from stdl_events.registry import Registry

__all__ = ["FORMATS", "WRITERS", "Format", "Signature", "Writer"]

# Content is tried in this order, then suffixes: our HDF5 before other HDF5, N-MNIST before .bin without a size.
FORMATS = FormatRegistry(
    {
        "aedat2": "stdl_events.events.formats.aedat2:FORMAT",
        "aedat3": "stdl_events.events.formats.aedat3:FORMAT",
        "aedat4": "stdl_events.events.formats.aedat4:FORMAT",
        "aedat1": "stdl_events.events.formats.aedat2:FORMAT_1",
        "evt2": "stdl_events.events.formats.evt:EVT2",
        "evt21": "stdl_events.events.formats.evt:EVT21",
        "evt3": "stdl_events.events.formats.evt:EVT3",
        "dat": "stdl_events.events.formats.dat:FORMAT",
        "es": "stdl_events.events.formats.es:FORMAT",
        "mcap": "stdl_events.events.formats.mcap:FORMAT",
        "stdl-hdf5": "stdl_events.events.formats.hdf5:FORMAT",
        "hdf5": "stdl_events.events.formats.hdf5_layouts:FORMAT",
        "npy": "stdl_events.events.formats.npy:NPY",
        "npz": "stdl_events.events.formats.npz:NPZ",
        "nmnist": "stdl_events.events.formats.atis_bin:NMNIST",
        "ncaltech": "stdl_events.events.formats.atis_bin:NCALTECH",
        "text": "stdl_events.events.formats.text:FORMAT",
    }
)

WRITERS: Registry[Writer] = Registry(
    "output format",
    RecordingError,
    {
        "stdl-hdf5": "stdl_events.events.formats.hdf5:WRITER",
        "npz": "stdl_events.events.formats.npz:NPZ_WRITER",
        "text": "stdl_events.events.formats.text:WRITER",
        "aedat4": "stdl_events.events.formats.with_faery:AEDAT4_WRITER",
        "evt3": "stdl_events.events.formats.with_faery:EVT3_WRITER",
        "evt2": "stdl_events.events.formats.with_faery:EVT2_WRITER",
    },
)
