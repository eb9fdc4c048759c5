"""How many vector operations a second this core does, and how many cells of DTW that allows.

The probe runs fused multiply-adds, additions and minima on registers alone, sixteen chains side by side, in the mixes
that a core may like best; the best one counts. A cell of D leads takes D subtractions, D fused multiply-adds, two
minima and an addition; with one lead the last addition is fused too.
"""

from __future__ import annotations

import ctypes
import time

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

LANES, CHAINS, ROUNDS = 16, 16, 200_000
MIXES = (("fma",), ("fma", "add"), ("fma", "min"), ("fma", "add", "fma", "min"))

_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_INTS = ir.VectorType(ir.IntType(32), LANES)
_LONG = ir.IntType(64)


def operations_a_cell(num_leads: int, form: str) -> int:
    """Operations on a vector of cells, whatever its length."""
    if form == "gemm":
        return num_leads + 5
    return 4 if num_leads == 1 else 2 * num_leads + 3


class VectorRate:
    """Measures millions of operations a second on vectors of 16 floats."""

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2
        )
        module = ir.Module()
        for mix in MIXES:
            _emit(module, mix)
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(str(module)), machine)
        self._engine.finalize_object()
        kind = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_int64, ctypes.c_void_p)
        self._probes = {mix: kind(self._engine.get_function_address("_".join(mix))) for mix in MIXES}
        self._values = np.full(2 * LANES + 16, 0.5, np.float32)

    def __call__(self) -> float:
        """Measure for some hundredths of a second."""
        best = 0.0
        for mix, probe in self._probes.items():
            start = time.process_time()
            probe(ROUNDS, self._values.ctypes.data)
            best = max(best, ROUNDS * CHAINS * len(mix) / (time.process_time() - start))
        return best / 1e6


def _emit(module: ir.Module, mix: tuple[str, ...]) -> None:
    function = ir.Function(module, ir.FunctionType(ir.FloatType(), [_LONG, _FLOATS.as_pointer()]), "_".join(mix))
    builder = ir.IRBuilder(function.append_basic_block())
    entry = builder.block
    one = builder.load(function.args[1], align=4)
    other = builder.load(builder.gep(function.args[1], [_LONG(1)]), align=4)
    kind = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
    fused = module.globals.get("llvm.fma.v16f32") or ir.Function(module, kind, "llvm.fma.v16f32")
    loop, end = function.append_basic_block(), function.append_basic_block()
    builder.branch(loop)
    builder.position_at_end(loop)
    turn = builder.phi(_LONG)
    turn.add_incoming(_LONG(0), entry)
    chains = [builder.phi(_FLOATS) for _ in range(CHAINS)]
    values = []
    for number, value in enumerate(chains):
        value.add_incoming(ir.Constant(_FLOATS, [float(number + 1)] * LANES), entry)
        for operation in mix:
            if operation == "fma":
                value = builder.call(fused, [value, one, other])
            elif operation == "add":
                value = builder.fadd(value, one)
            else:
                left, right = builder.bitcast(value, _INTS), builder.bitcast(other, _INTS)
                lesser = builder.select(builder.icmp_signed("<", left, right), left, right)
                value = builder.bitcast(lesser, _FLOATS)
        values.append(value)
    for phi, value in zip(chains, values, strict=True):
        phi.add_incoming(value, loop)
    after = builder.add(turn, _LONG(1))
    turn.add_incoming(after, loop)
    builder.cbranch(builder.icmp_signed("<", after, function.args[0]), loop, end)
    builder.position_at_end(end)
    total = values[0]
    for value in values[1:]:
        total = builder.fadd(total, value)
    builder.ret(builder.extract_element(total, ir.IntType(32)(0)))
