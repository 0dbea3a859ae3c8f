"""Lanes: a whole SIMD register as one value inside Numba code.

FerroSIM's kernel runs several trajectories side by side, one per lane. Left to the compiler's vectorizer, that rests on
proofs of independence that it gives up on as soon as the code grows; here a register of trajectories is a value of its own
(LLVM's vector type), so every addition is one vector instruction by construction, whatever the lattice size, and the
result of a lane depends on nothing but that lane. Products and sums may be contracted into fused multiply-adds, nothing
else is reordered. A register is 64 bytes wide: eight float64 or sixteen float32 numbers; processors with
narrower registers are given several instructions.

Source: LLVM Language Reference Manual, "Vector Type" and "Fast-Math Flags" (https://llvm.org/docs/LangRef.html).
"""

import math
import operator
from functools import cache
from pathlib import Path
from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

LANE_BYTES: Final = 64
"""Width of one register of lanes in bytes: the widest that processors have today (AVX-512), and a cache line."""

_CONTRACT: Final = ("contract", "nsz")
_FLOATS: Final = {64: ir.DoubleType(), 32: ir.FloatType()}


def compiled(function: Any) -> Any:
    """Numba's `njit`, free of Python's lock, kept on disk until any source of the kernels changes.

    Numba itself looks only at the file in which a function stands and would go on using a kernel whose registers or
    subroutines, compiled into it from another file, have changed since.

    Args:
        function: what to compile.

    Returns:
        The compiled function.
    """
    dispatcher: Any = numba.njit(nogil=True, cache=True)(function)
    index: Any = getattr(dispatcher._cache, "_cache_file", None)
    if hasattr(index, "_source_stamp"):
        index._source_stamp = _source_stamp()
    return dispatcher


@cache
def _source_stamp() -> tuple[tuple[str, int, int], ...]:
    """Name, time and size of every source file beside this one."""
    files = [(path.name, path.stat()) for path in sorted(Path(__file__).parent.glob("*.py"))]
    return tuple((name, status.st_mtime_ns, status.st_size) for name, status in files)


def lane_count(dtype: npt.DTypeLike) -> int:
    """Trajectories that run side by side.

    Args:
        dtype: float64 or float32.

    Returns:
        8 for float64, 16 for float32.
    """
    return LANE_BYTES // np.dtype(dtype).itemsize


def aligned_zeros(n_registers: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """A flat, zeroed buffer of registers that starts at a cache line.

    Args:
        n_registers: how many registers of lanes.
        dtype: float64 or float32.

    Returns:
        Array (n_registers * lane_count(dtype),).
    """
    return _aligned(np.zeros((n_registers + 1) * LANE_BYTES, dtype=np.uint8)).view(dtype)


def aligned_empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """An array that starts at a cache line, its values left open.

    Args:
        shape: any shape.
        dtype: float64 or float32.

    Returns:
        The array.
    """
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.empty((n_bytes // LANE_BYTES + 2) * LANE_BYTES, dtype=np.uint8)
    return _aligned(raw)[:n_bytes].view(dtype).reshape(shape)


def _aligned(raw: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    start = -raw.ctypes.data % LANE_BYTES
    return raw[start : len(raw) - LANE_BYTES + start]


class LanesType(types.Type):
    """Numba's type of one register: `element` (a Numba float type) times `count`."""

    def __init__(self, element: Any) -> None:
        self.element = element
        self.count = LANE_BYTES * 8 // element.bitwidth
        super().__init__(name=f"lanes({element} x {self.count})")

    def vector(self) -> ir.VectorType:
        """The LLVM type behind it."""
        return ir.VectorType(_FLOATS[self.element.bitwidth], self.count)


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, lanes: LanesType) -> None:
        super().__init__(manager, lanes, lanes.vector())  # type: ignore[no-untyped-call]


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any, lanes: LanesType) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(builder.bitcast(data, lanes.vector().as_pointer()), [index], inbounds=True)


def _splat(builder: Any, value: Any, lanes: LanesType) -> Any:
    vector = lanes.vector()
    single = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes.count), [0] * lanes.count)
    return builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), mask)


def _load(_typing_context: Any, buffer: Any, _index: Any) -> Any:
    lanes = LanesType(buffer.dtype)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        where = _address(context, builder, signature.args[0], arguments[0], arguments[1], lanes)
        return builder.load(where, align=LANE_BYTES)

    return lanes(buffer, types.intp), generate


def _store(_typing_context: Any, buffer: Any, _index: Any, value: Any) -> Any:

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        where = _address(context, builder, signature.args[0], arguments[0], arguments[1], signature.args[2])
        builder.store(arguments[2], where, align=LANE_BYTES)
        return context.get_dummy_value()

    return types.void(buffer, types.intp, value), generate


def _splat_number(_typing_context: Any, value: Any) -> Any:
    lanes = LanesType(value)

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return _splat(builder, arguments[0], lanes)

    return lanes(value), generate


def _clip(_typing_context: Any, value: Any, _bound: Any) -> Any:

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        low, high = builder.fneg(arguments[1]), arguments[1]
        clipped = builder.select(builder.fcmp_ordered("<", arguments[0], low), low, arguments[0])
        return builder.select(builder.fcmp_ordered(">", clipped, high), high, clipped)

    return value(value, value), generate


def _transposing_store(*, streams: bool) -> Any:
    """The intrinsic behind `store_transposed` and `stream_transposed`."""

    def write(_typing_context: Any, buffer: Any, _index: Any, target: Any, _offset: Any, _stride: Any) -> Any:
        lanes, width = LanesType(buffer.dtype), target.dtype.bitwidth
        out = ir.VectorType(_FLOATS[width], lanes.count)
        # Half a cache line must not pass the cache by: the other half would be fetched for it.
        passes_by = streams and width == lanes.element.bitwidth

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            first = _address(context, builder, signature.args[0], arguments[0], arguments[1], lanes)
            steps = [ir.Constant(arguments[1].type, k) for k in range(lanes.count)]
            rows = [builder.load(builder.gep(first, [step], inbounds=True), align=LANE_BYTES) for step in steps]
            _transpose(builder, rows)
            data = context.make_array(signature.args[2])(context, builder, arguments[2]).data
            place = builder.gep(data, [arguments[3]], inbounds=True)
            for row in rows:
                value = row if out == row.type else (builder.fptrunc if width == 32 else builder.fpext)(row, out)
                where = builder.bitcast(place, out.as_pointer())
                stored = builder.store(value, where, align=LANE_BYTES if passes_by else width // 8)
                if passes_by:
                    stored.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
                place = builder.gep(place, [arguments[4]], inbounds=True)
            return context.get_dummy_value()

        return types.void(buffer, types.intp, target, types.intp, types.intp), generate

    return intrinsic(write)


def _transpose(builder: Any, rows: list[Any]) -> None:
    """Transpose a square of registers in place, by exchanging blocks of 1, 2, 4, ... (Eklundh, 10.1109/T-C.1972.223584)."""
    n, distance = len(rows), 1
    while distance < n:
        upper = [c if not c & distance else n + c - distance for c in range(n)]
        lower = [c + distance if not c & distance else n + c for c in range(n)]
        masks = [ir.Constant(ir.VectorType(ir.IntType(32), n), mask) for mask in (upper, lower)]
        for i in range(n):
            if not i & distance:
                pair = rows[i], rows[i + distance]
                rows[i], rows[i + distance] = (builder.shuffle_vector(*pair, mask) for mask in masks)
        distance *= 2


def _arithmetic(symbol: Any, instruction: str) -> None:
    """Teach Numba that `symbol` between two registers is one vector instruction."""

    @type_callable(symbol)
    def typing(_context: Any) -> Any:
        return lambda left, right: left if isinstance(left, LanesType) and left == right else None

    @lower_builtin(symbol, LanesType, LanesType)  # type: ignore[no-untyped-call, untyped-decorator]
    def lowering(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return getattr(builder, instruction)(arguments[0], arguments[1], flags=_CONTRACT)


_arithmetic(operator.add, "fadd")
_arithmetic(operator.sub, "fsub")
_arithmetic(operator.mul, "fmul")

# What kernels call; untyped, because Numba hands intrinsics other arguments than it is given.
load: Any = intrinsic(_load)
"""`load(buffer, k)`: the k-th register of an aligned flat buffer."""
store: Any = intrinsic(_store)
"""`store(buffer, k, v)`: write register v as the k-th of an aligned flat buffer."""
splat: Any = intrinsic(_splat_number)
"""`splat(s)`: the number s in every lane, as many lanes as its type has."""
clip: Any = intrinsic(_clip)
"""`clip(v, b)`: every lane held in [-b, b]; NaN stays NaN."""
store_transposed: Any = _transposing_store(streams=False)
"""`store_transposed(buffer, k, target, offset, stride)`: of as many registers from the k-th on as there are lanes, write each
lane's numbers in a row to target[offset:], the next lane's `stride` further on, in the precision of the target."""
stream_transposed: Any = _transposing_store(streams=True)
"""The same past the caches, for results that nobody reads soon; target, offset and stride must be multiples of 64 bytes."""
