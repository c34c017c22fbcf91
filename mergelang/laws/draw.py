"""Values for a law's parameters: small models and simple numbers, drawn so that counterexamples stay small.

Every number drawn has a power of two below its line, and few digits above: sums and products of them are exact in
float64, so that what a law compares differs by the law and not by rounding, even behind a sign or a threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from hypothesis import strategies as st

from mergelang.lower.laws import LIST_LENGTH
from mergelang.syntax.tree import Law, Param, TypeName

# An embedding, two layers of a matrix and a vector, and a head: a depth of 0 and 1, something outside the layers,
# tensors of one and of two dimensions, rows and columns of different lengths.
SHAPES: dict[str, tuple[int, ...]] = {
    "embed": (2, 4),
    "layers.0.w": (3, 4), "layers.0.b": (4,),
    "layers.1.w": (3, 4), "layers.1.b": (4,),
    "head": (2, 4),
}  # fmt: skip
WEIGHTS = 48
STEP = 64  # weights are whole numbers of 1/64

# The first of each is the simplest: shrinking goes there.
NUMBERS = tuple(
    Fraction(*pair) for pair in ((1, 1), (2, 1), (0, 1), (-1, 1), (1, 2), (3, 2), (-1, 2), (3, 1), (1, 4), (-3, 4))
)
SHARES = tuple(Fraction(*pair) for pair in ((1, 2), (1, 1), (0, 1), (1, 4), (3, 4), (1, 8)))
POSITIVES = tuple(Fraction(*pair) for pair in ((1, 1), (2, 1), (1, 2), (3, 2), (4, 1), (1, 4), (3, 1)))
DRAWN = {"Number": NUMBERS, "Share": SHARES, "Positive": POSITIVES}
MODELS = ("Model", "Delta", "Field")

Weights = tuple[int, ...]  # in units of 1/STEP, tensor after tensor


@dataclass(frozen=True, slots=True)
class Example:
    """Values of a law's parameters: numbers by name, weights by the name of the stand-in."""

    numbers: Mapping[str, Fraction]
    weights: Mapping[str, Weights]


def examples(law: Law) -> st.SearchStrategy[Example]:
    """Examples for the law's parameters; lists have LIST_LENGTH items, called `a0`, `a1`, ..."""
    names = {kind: _stand_ins(law, kind) for kind in (*DRAWN, *MODELS)}
    numbers = st.fixed_dictionaries({name: st.sampled_from(DRAWN[kind]) for kind in DRAWN for name in names[kind]})
    models = [name for kind in MODELS for name in names[kind]]
    return st.builds(Example, numbers, _families(models))


def _stand_ins(law: Law, kind: str) -> list[str]:
    return [name for param in law.params if _type(param).name == kind for name in stand_in_names(param)]


def stand_in_names(param: Param) -> list[str]:
    """The names of the values that stand for a parameter: its own, or one per item of a list."""
    return [f"{param.name}{i}" for i in range(LIST_LENGTH)] if _type(param).depth else [param.name]


def _type(param: Param) -> TypeName:
    return param.type or TypeName("Number", 0, span=param.span)


@st.composite
def _families(draw: st.DrawFn, names: list[str]) -> dict[str, Weights]:
    """Weights for each name; now and then two are the same, or one is the other's opposite."""
    found: dict[str, Weights] = {}
    for name in names:
        # Its own weights are drawn even where another's are taken: so shrinking can go back to them.
        own = draw(_WEIGHTS)
        like = draw(st.sampled_from(("own", "own", "own", "own", "same", "opposite"))) if found else "own"
        other = own if like == "own" else found[draw(st.sampled_from(list(found)))]
        found[name] = tuple(-weight for weight in other) if like == "opposite" else other
    return found


def _from_bytes(drawn: bytes, mask: int) -> Weights:
    # 0, 1, -1, 2, -2, ...: bytes shrink to 0, and so do the weights. A small mask makes many ties.
    return tuple((code + 1) // 2 if code % 2 else -(code // 2) for code in (byte & mask for byte in drawn))


def _one(place: int, byte: int) -> Weights:
    return _from_bytes(bytes(byte if i == place else 0 for i in range(WEIGHTS)), 255)


# Weights as one stretch of bytes, because drawing them one by one takes as long as the merge that is tried on them.
_BYTES = st.binary(min_size=WEIGHTS, max_size=WEIGHTS)
_WEIGHTS = st.one_of(
    st.just((0,) * WEIGHTS),
    st.builds(_one, st.integers(0, WEIGHTS - 1), st.integers(1, 255)),
    st.builds(_from_bytes, _BYTES, st.sampled_from((3, 7, 255, 255))),
)
