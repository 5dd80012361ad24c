"""What kernels cannot say in Python: whole vectors in registers, hints to the memory."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8
"""Numbers in a vector register: dense rows start at multiples of it."""


@intrinsic
def prefetch(typing_context, array, index):
    """Ask for the cache line of ``array[index]``, which is needed soon: a hint, no access."""

    def code(context, builder, signature, arguments):
        kind, _ = signature.args
        data = context.make_array(kind)(context, builder, arguments[0]).data
        address = builder.bitcast(
            cgutils.gep_inbounds(builder, data, arguments[1]), cgutils.voidptr_t
        )
        number = ir.IntType(32)
        hint = builder.module.declare_intrinsic(
            "llvm.prefetch",
            [cgutils.voidptr_t],
            ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, number, number, number]),
        )
        builder.call(hint, [address, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, index), code


@intrinsic
def add_rows(typing_context, inbox, at, row, begins, first, last, size):
    """Add ``row[begins[e]:][:size]`` to ``inbox[at:][:size]``, for e from `first` to `last`.

    `size` is a multiple of `LANES`. Sums stay in registers while row after row is added: a
    number is read for each synapse and nothing is written. The order of additions is that of
    the rows.
    """

    def code(context, builder, signature, arguments):
        arrays = [
            context.make_array(signature.args[k])(context, builder, arguments[k]).data
            for k in (0, 2, 3)
        ]
        inbox, row, begins = arrays
        _, at, _, _, first, last, size = arguments
        vector = ir.VectorType(ir.FloatType(), LANES)
        step, done = ir.IntType(64), ir.Constant(ir.IntType(64), 0)

        def place(base, index):
            return builder.bitcast(builder.gep(base, [index]), vector.as_pointer())

        for vectors in (8, 4, 2, 1):
            width = ir.Constant(step, vectors * LANES)
            stop = builder.add(
                done, builder.mul(builder.udiv(builder.sub(size, done), width), width)
            )
            sums = [cgutils.alloca_once(builder, vector) for _ in range(vectors)]
            with cgutils.for_range_slice(builder, done, stop, width) as (begin, _):
                inside = [
                    builder.add(begin, ir.Constant(step, k * LANES)) for k in range(vectors)
                ]
                for held, offset in zip(sums, inside, strict=True):
                    there = place(inbox, builder.add(at, offset))
                    builder.store(builder.load(there, align=4), held)
                with cgutils.for_range_slice(
                    builder, first, last, ir.Constant(step, 1)
                ) as (e, _):
                    start = builder.load(builder.gep(begins, [e]))
                    for held, offset in zip(sums, inside, strict=True):
                        more = builder.load(place(row, builder.add(start, offset)), align=4)
                        builder.store(builder.fadd(builder.load(held), more), held)
                for held, offset in zip(sums, inside, strict=True):
                    there = place(inbox, builder.add(at, offset))
                    builder.store(builder.load(held), there, align=4)
            done = stop
        return context.get_dummy_value()

    index = types.int64
    return types.void(inbox, index, row, begins, index, index, index), code
