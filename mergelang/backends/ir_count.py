"""Going from number to number, as LLVM code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

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


class Strip(NamedTuple):
    """A part of what a loop goes over: its number, where it begins, and how long it is."""

    number: ir.Value
    first: ir.Value
    count: ir.Value


@contextmanager
def strips(at: ir.IRBuilder, count: ir.Value, size: ir.Value) -> Iterator[Strip]:
    """A loop over `strip_count` strips of this size, the last of which may be shorter."""
    with counted(at, strip_count(at, count, size)) as number:
        first = at.mul(number, size)
        left = at.sub(count, first)
        yield Strip(number, first, at.select(at.icmp_unsigned("<", left, size), left, size))


def strip_count(at: ir.IRBuilder, count: ir.Value, size: ir.Value) -> ir.Value:
    """How many strips of the size there are in the count."""
    return at.udiv(at.add(count, at.sub(size, I64(1))), size)
