"""The claim: a recipe's digest is over what it means. Names, comments and layout do not count, all else does."""

from __future__ import annotations

import pytest

import mergelang as ml

RECIPE = """
## Three skills.
let base  = checkpoint("base")   # where all began
let math  = checkpoint("math") - base
let code  = checkpoint("code") - base
def half(x: Delta) -> Delta = 50% * x
merge ties(density = 20%, [math, half(code)]) + lines(base)
"""
SAME = {
    "white space collapsed": 'let base = checkpoint("base") let math = checkpoint("math") - base '
    'let code = checkpoint("code") - base def half(x: Delta) -> Delta = 50% * x '
    "merge ties(density = 20%, [math, half(code)]) + lines(base)",
    "other names": RECIPE.replace("math ", "maths ").replace("[math", "[maths").replace("half", "halved"),
    "numbers written otherwise": RECIPE.replace("20%", "0.20").replace("50%", "0.5"),
    "written out": 'let b = checkpoint("base")\n'
    'merge ties([checkpoint("math") - b, 1/2 * (checkpoint("code") - b)]) + lines(b)',
    "typographic": RECIPE.replace('"', "”").replace(" - ", " − "),
}
OTHER = {
    "another density": RECIPE.replace("20%", "21%"),
    "another order": RECIPE.replace("[math, half(code)]", "[half(code), math]"),
    "another method": RECIPE.replace("ties(density = 20%,", "breadcrumbs("),
    "another factor": RECIPE.replace("50%", "60%"),
    "another sign": RECIPE.replace("half(code)", "-half(code)"),
    "another output": RECIPE.replace("merge ties", "merge base + 0 * code + ties").replace(" + lines(base)", ""),
    "saved as a delta": RECIPE.replace("merge ties", "merge delta(ties").replace("]) + lines(base)", "]))"),
}


@pytest.mark.parametrize("name", SAME)
def test_names_comments_and_layout_do_not_count(name: str) -> None:
    assert SAME[name] != RECIPE
    assert ml.compile(SAME[name]).digest == ml.compile(RECIPE).digest


@pytest.mark.parametrize("name", OTHER)
def test_every_change_of_meaning_counts(name: str) -> None:
    assert OTHER[name] != RECIPE
    assert ml.compile(OTHER[name]).digest != ml.compile(RECIPE).digest


def test_a_seed_counts() -> None:
    one, other = (ml.compile(RECIPE.replace("half(code)", f"dare(seed = {n}, code)")).digest for n in (0, 1))
    assert one != other
