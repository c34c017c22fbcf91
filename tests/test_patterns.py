"""Name patterns: what they fit, what renaming makes, and what is offered for one that fits nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mergelang.patterns import matches, near_names, renamed, wildcards
from mergelang.problem import Bug

NAMES = [f"model.layers.{i}.{part}.weight" for i in range(3) for part in ("mlp.up_proj", "self_attn.q_proj")]


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("a.b", "a.b", True),
        ("a.b", "axb", False),
        ("a", "a.b", False),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.**", "a.b.c", True),
        ("**.mlp.*", "h.0.mlp.up", True),
        ("**.mlp.*", "mlp.up", False),
        ("**mlp.*", "mlp.up", True),
        ("*_proj.w", "q_proj.w", True),
        ("*", "", True),
        ("a.*.b", "a..b", True),
        ("**", "any\nthing", True),
        ("a+(b", "a+(b", True),
    ],
)
def test_what_fits(pattern: str, name: str, fits: bool) -> None:
    assert matches(pattern, name) is fits


def test_wildcards_carry_their_text_over_in_order() -> None:
    assert renamed("h.*.**", "layers.*.block.**", "h.3.attn.k") == "layers.3.block.attn.k"
    assert renamed("h.*.*", "*", "h.3.w") == "3"
    assert renamed("h.*", "x.*", "g.3") is None


@given(st.text("ab.*", min_size=1, max_size=8), st.text("ab.", max_size=12))
def test_renaming_to_the_same_pattern_keeps_the_name(pattern: str, name: str) -> None:
    assert renamed(pattern, pattern, name) == (name if matches(pattern, name) else None)


@given(st.text(max_size=20))
def test_two_stars_fit_everything_and_a_name_fits_itself(name: str) -> None:
    assert matches("**", name)
    assert "*" in name or matches(name, name)


def test_wildcards_are_counted_and_may_not_come_from_nowhere() -> None:
    assert wildcards("a.**.*_proj.***") == 4
    with pytest.raises(Bug):
        renamed("h.*", "h.*.*", "h.3")


def test_near_names() -> None:
    assert near_names("**.mpl.up_proj.*", NAMES)[:1] == ["model.layers.0.mlp.up_proj.weight"]
    assert near_names("model.layer.0.self_attn.q_proj.weight", NAMES)[0] == "model.layers.0.self_attn.q_proj.weight"
    assert near_names("visual.encoder.*", NAMES) == []
    assert near_names("**", NAMES) == []
