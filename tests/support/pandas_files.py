"""Tables of pandas in HDF5, written as `DataFrame.to_hdf` of pandas 3.0 with PyTables writes them."""

import pickle

import h5py
import numpy as np


def fixed(file: h5py.File, key: str, blocks: list[dict[str, np.ndarray]], index: tuple[str, np.ndarray]) -> None:
    group = file.create_group(key)
    group.attrs.update({"pandas_type": np.bytes_("frame"), "nblocks": len(blocks)})
    group["axis0"] = np.array([name for block in blocks for name in block], "S")
    group["axis1"] = index[1]
    group["axis1"].attrs["name"] = np.bytes_(index[0])
    for number, block in enumerate(blocks):
        group[f"block{number}_items"] = np.array(list(block), "S")
        group[f"block{number}_values"] = np.stack(list(block.values()), axis=1)


def table(file: h5py.File, key: str, blocks: list[dict[str, np.ndarray]], index: tuple[str | None, np.ndarray]) -> None:
    group = file.create_group(key)
    names = [name for block in blocks for name in block]
    info = {"info": {1: {"names": [None], "type": "Index"}, "index": {"index_name": index[0]}}}
    group.attrs.update(
        {"pandas_type": np.bytes_("frame_table"), "non_index_axes": np.bytes_(pickle.dumps([(1, names)], 0))}
    )
    group.attrs["info"] = np.bytes_(pickle.dumps(info, 0))
    types = [(f"values_block_{n}", next(iter(block.values())).dtype, (len(block),)) for n, block in enumerate(blocks)]
    rows = np.empty(len(index[1]), [("index", index[1].dtype), *types])
    rows["index"] = index[1]
    for number, block in enumerate(blocks):
        rows[f"values_block_{number}"] = np.stack(list(block.values()), axis=1)
    group["table"] = rows
    for number, block in enumerate(blocks):
        group["table"].attrs[f"values_block_{number}_kind"] = np.bytes_(pickle.dumps(list(block), 0))
    group["_i_table/index/sortedLR"] = np.arange(9)
