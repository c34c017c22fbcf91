"""Claim: a call of the same values is worked out once, and a fault in one still shows where it was written."""

from __future__ import annotations

import time

import pytest

from mergelang.lower.settings import Given
from mergelang.pipeline import compile_text
from mergelang.problem import Problem

MODELS = {"a": Given("a"), "b": Given("b")}
MOST_SECONDS = 5.0  # without sharing it would take hours


def test_definitions_that_call_each_other_twice_compile_at_once() -> None:
    levels = "".join(f"def f{i}(x: Delta) = f{i - 1}(x) + f{i - 1}(x)\n" for i in range(1, 31))
    start = time.monotonic()
    written = compile_text(f"def f0(x) = x\n{levels}merge a + f30(b - a)", settings=MODELS).written
    assert time.monotonic() - start < MOST_SECONDS
    assert len(written.outputs) == 1


def test_calls_with_other_values_stay_apart() -> None:
    text = 'def f(how: Text = "twice", x: Delta) = if how == "twice" then 2 * x else x\n'
    one, other = (
        compile_text(f"{text}merge a + f(b - a) - {call}", settings=MODELS).digest
        for call in ('f(how = "once", b - a)', "(b - a)")
    )
    assert one == other
    assert one != compile_text(f"{text}merge a + f(b - a) - f(b - a)", settings=MODELS).digest


def test_a_fault_shows_at_its_own_call() -> None:
    text = "def f(x: Delta) = 2 * x\nlet good = f(b - a)\nmerge a + good + f(2 * a)"
    with pytest.raises(Problem) as caught:
        compile_text(text, settings=MODELS)
    assert str(caught.value.place).startswith("<recipe>:3:")


def test_numbers_that_are_ratios_of_many_sums_compile_at_once() -> None:
    start = time.monotonic()
    compile_text("karcher([a, b, c])", settings=MODELS | {"c": Given("c")})
    assert time.monotonic() - start < 2 * MOST_SECONDS
