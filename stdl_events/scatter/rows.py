"""`add_rows`: add chosen rows of a table to one row, with the sums in vector registers.

Numba loads and stores an array's elements in every turn of a loop, which takes as long here as the additions. So these
two loops alone are written in LLVM's terms: blocks of 8, 4, 2 and 1 vectors of 32 bytes.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from stdl_events.scatter.compiled import inlined

VECTOR_BYTES = 32
_INDEX = ir.IntType(64)
_MAY_FUSE = ("contract",)


def _adder(vectors: int, *, weighted: bool) -> Callable[..., Any]:
    """The loops for rows of so many vectors, as a function that numba compiles in place."""

    def add_block(
        context: Any, sums: Any, at: Any, table: Any, column: Any, offsets: Any, values: Any, runs: Any, count: Any
    ) -> Any:
        index = types.int64
        return types.void(sums, index, table, index, offsets, values, runs, index), generate

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, at, table, column, offsets, values, runs, count = (
            context.make_array(kind)(context, builder, argument).data if isinstance(kind, types.Array) else argument
            for kind, argument in zip(signature.args, arguments, strict=True)
        )
        number_bytes = signature.args[0].dtype.bitwidth // 8
        lanes = VECTOR_BYTES // number_bytes
        vector = ir.VectorType(sums.type.pointee, lanes)
        steps = [ir.Constant(_INDEX, lanes * step) for step in range(vectors)]

        def pointers(array: Any, start: Any) -> list[Any]:
            places = (builder.gep(array, [builder.add(start, step)]) for step in steps)
            return [builder.bitcast(place, vector.as_pointer()) for place in places]

        def add_row(row: Any, totals: list[Any], base: Any) -> list[Any]:
            offset = builder.add(base, builder.sext(builder.load(builder.gep(offsets, [row])), _INDEX))
            found = [builder.load(source, align=number_bytes) for source in pointers(table, offset)]
            if weighted:
                factor = _spread(builder, builder.load(builder.gep(values, [row])), vector)
                found = [builder.fmul(part, factor, flags=_MAY_FUSE) for part in found]
            return [builder.fadd(total, part, flags=_MAY_FUSE) for total, part in zip(totals, found, strict=True)]

        def add_run(run: Any, totals: list[Any], _: None) -> list[Any]:
            begin, stop, base = (
                builder.load(builder.gep(runs, [builder.add(builder.mul(run, ir.Constant(_INDEX, 3)), part)]))
                for part in (ir.Constant(_INDEX, place) for place in range(3))
            )
            return _loop(builder, begin, stop, totals, add_row, builder.add(base, column))

        targets = pointers(sums, at)
        before = [builder.load(target, align=number_bytes) for target in targets]
        after = _loop(builder, ir.Constant(_INDEX, 0), count, before, add_run, None)
        for total, target in zip(after, targets, strict=True):
            builder.store(total, target, align=number_bytes)
        return context.get_dummy_value()

    made: Callable[..., Any] = intrinsic(add_block)
    return made


def _loop(
    builder: Any, first: Any, stop: Any, totals: list[Any], body: Callable[..., list[Any]], argument: Any
) -> list[Any]:
    """Write `for index in range(first, stop): totals = body(index, totals, argument)`; returns the last totals."""
    entry = builder.block
    head, turn, end = (builder.append_basic_block(f"rows.{name}") for name in ("head", "turn", "end"))
    builder.branch(head)
    builder.position_at_end(head)
    index = builder.phi(_INDEX)
    index.add_incoming(first, entry)
    carried = [builder.phi(total.type) for total in totals]
    for phi, total in zip(carried, totals, strict=True):
        phi.add_incoming(total, entry)
    builder.cbranch(builder.icmp_signed("<", index, stop), turn, end)
    builder.position_at_end(turn)
    new = body(index, carried, argument)
    for phi, total in zip(carried, new, strict=True):
        phi.add_incoming(total, builder.block)
    index.add_incoming(builder.add(index, ir.Constant(_INDEX, 1)), builder.block)
    builder.branch(head)
    builder.position_at_end(end)
    return carried


def _spread(builder: Any, number: Any, vector: Any) -> Any:
    """A vector of equal numbers."""
    nothing = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None))


_add_8, _add_4, _add_2, _add_1 = (_adder(vectors, weighted=False) for vectors in (8, 4, 2, 1))
_weigh_8, _weigh_4, _weigh_2, _weigh_1 = (_adder(vectors, weighted=True) for vectors in (8, 4, 2, 1))


@inlined
def add_rows(sums: Any, at: int, width: int, table: Any, offsets: Any, values: Any, runs: Any, count: int) -> None:
    """Add rows of `table`, times `values`, to `sums[at : at + width]`, in order.

    Args:
        width: numbers of a row, a multiple of a vector's.
        offsets: int32, of rows in `table`.
        values: a factor for each offset; an empty array for ones.
        runs: int64, three for each run of rows: its first offset, the one behind its last, and a number that is added
            to them.
        count: of runs.
    """
    lanes = VECTOR_BYTES // sums.itemsize
    done = 0
    if len(values) == 0:
        while width - done >= 8 * lanes:
            _add_8(sums, at + done, table, done, offsets, values, runs, count)
            done += 8 * lanes
        if width - done >= 4 * lanes:
            _add_4(sums, at + done, table, done, offsets, values, runs, count)
            done += 4 * lanes
        if width - done >= 2 * lanes:
            _add_2(sums, at + done, table, done, offsets, values, runs, count)
            done += 2 * lanes
        if width - done >= lanes:
            _add_1(sums, at + done, table, done, offsets, values, runs, count)
    else:
        while width - done >= 8 * lanes:
            _weigh_8(sums, at + done, table, done, offsets, values, runs, count)
            done += 8 * lanes
        if width - done >= 4 * lanes:
            _weigh_4(sums, at + done, table, done, offsets, values, runs, count)
            done += 4 * lanes
        if width - done >= 2 * lanes:
            _weigh_2(sums, at + done, table, done, offsets, values, runs, count)
            done += 2 * lanes
        if width - done >= lanes:
            _weigh_1(sums, at + done, table, done, offsets, values, runs, count)
