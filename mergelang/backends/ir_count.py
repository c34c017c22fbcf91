"""Going from number to number, as LLVM code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from llvmlite import ir

from mergelang.backends.ir_formulas import I64


@contextmanager
def counted(at: ir.IRBuilder, count: ir.Value) -> Iterator[ir.Value]:
    """A loop over the numbers from 0 up to the count; the builder stands in its body, and behind it at the end."""
    head, body, end = (at.function.append_basic_block() for _ in range(3))
    before = at.block
    at.branch(head)
    at.position_at_end(head)
    index = at.phi(I64)
    index.add_incoming(I64(0), before)
    at.cbranch(at.icmp_unsigned("<", index, count), body, end)
    at.position_at_end(body)
    yield index
    index.add_incoming(at.add(index, I64(1)), at.block)
    at.branch(head)
    at.position_at_end(end)
