"""A Hypothesis strategy that writes well-typed recipes as text, for given Models `base`, `a` and `b`.

The names of `toy.small` must be the tensors' names, because an arm of a `match` that fits nothing is an error. Random
masks are left out, so that a recipe says by itself what must come out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import strategies as st

Way = Callable[[], str]

# No two of these fit the same tensor, so every arm of a match is reached.
PATTERNS = ('"layers.*.w"', '"layers.*.b"', '"norm"', '"head"')
SHARES = ("0", "0.25", "50%", "0.7", "1", "1.5")
REACHES = ("row", "column", "chunk(3)", "tensor", "layer", "model")


@dataclass
class Writer:
    """Writes expressions of a wanted type; `deltas` and `lists` are the names that `let` has bound so far."""

    draw: Callable[..., object]
    deltas: list[str] = field(default_factory=list)
    lists: list[str] = field(default_factory=list)
    locals: int = 0  # how many local names are written, each of which a recipe may use once

    def pick(self, *ways: Way) -> str:
        return self.draw(st.sampled_from(ways))()

    def one_of(self, *words: str) -> str:
        return self.draw(st.sampled_from(words))

    def local(self) -> str:
        self.locals += 1
        return f"local{self.locals}"

    def per(self) -> str:
        return f"per = {self.one_of(*REACHES)}"

    def model(self, deep: int) -> str:
        """An expression that is a Model."""
        if deep <= 0:
            return self.one_of("base", "a", "b")
        return self.pick(
            lambda: f"{self.model(0)} + {self.delta(deep - 1)}",
            lambda: f"base + {self.delta(deep)}",
            lambda: self.blend(deep - 1),
            lambda: f"mean([{self.model(deep - 1)}, {self.model(deep - 1)}])",
            lambda: self.match(lambda: self.model(deep - 1)),
        )

    def blend(self, deep: int) -> str:
        share = f"({self.number(deep)})"
        return f"({share} * ({self.model(deep)}) + (1 - {share}) * ({self.model(deep)}))"

    def delta(self, deep: int) -> str:
        """An expression, safe to multiply, that is a Delta."""
        if deep <= 0:
            return self.one_of("(a - base)", "(b - base)", *self.deltas)
        inner = deep - 1
        return self.pick(
            lambda: f"({self.delta(inner)} + {self.delta(inner)})",
            lambda: f"-{self.delta(inner)}",
            lambda: f"{self.factor(inner)} * {self.delta(inner)}",
            lambda: f"sum({self.list_of_deltas(inner)})",
            lambda: f"mean({self.list_of_deltas(inner)})",
            lambda: f"max({self.delta(inner)}, {self.delta(inner)})",
            lambda: f"min({self.list_of_deltas(inner)})",
            lambda: f"sqrt({self.delta(inner)} * {self.delta(inner)})",
            lambda: self.match(lambda: self.delta(inner), zero=True),
            lambda: self.where(inner),
            lambda: self.trimmed(inner),
        )

    def list_of_deltas(self, deep: int) -> str:
        items, each = f"[{self.delta(deep)}, {self.delta(0)}]", self.local()
        return self.pick(
            lambda: self.one_of(items, *self.lists),
            lambda: f"{self.number(0)} * {self.one_of(items, *self.lists)}",
            lambda: f"[{self.number(0)} * abs({each}) for {each} in {self.one_of(items, *self.lists)}]",
        )

    def where(self, deep: int) -> str:
        return f"(if {self.comparison(deep)} then {self.delta(deep)} else {self.delta(deep)})"

    def trimmed(self, deep: int) -> str:
        """The largest weights of a Delta."""
        name = self.local()
        place = f"{self.one_of('0', '0.3', '0.9')} * size({name}, per = model)"
        cut = f"order({place}, abs({name}), per = model)"
        return f"(let {name} = {self.delta(deep)} in {name} * (abs({name}) >= {cut}))"

    def factor(self, deep: int) -> str:
        """A Number or a Field, in brackets."""
        return self.pick(lambda: f"({self.number(deep)})", lambda: f"({self.field(deep)})")

    def field(self, deep: int) -> str:
        """Plain numbers, one per weight, at most about 3 in size."""
        return self.pick(
            lambda: f"sign({self.delta(deep)})",
            lambda: f"tanh(raw({self.delta(deep)}))",
            lambda: f"exp(tanh(raw({self.delta(deep)})))",
            lambda: self.comparison(deep),
            lambda: self.spread(deep),
        )

    def spread(self, deep: int) -> str:
        change = self.delta(deep)
        return f"{change} / largest(abs({change}), {self.per()})"

    def comparison(self, deep: int) -> str:
        change = self.delta(deep)
        bound = f"{self.one_of('mean', 'smallest', 'largest')}({change}, {self.per()})"
        return f"{change} {self.one_of('>=', '<', '>', '<=')} {self.one_of(bound, self.delta(0))}"

    def number(self, deep: int) -> str:
        """A plain number for each tensor, at most about 2 in size."""
        if deep <= 0:
            return self.one_of(*SHARES, "depth", "ramp(0, 0.5, 0.3, 1)", "ramp(1, 0)")
        return self.pick(
            lambda: self.one_of(*SHARES, "depth"),
            lambda: f"ramp({self.one_of(*SHARES)}, {self.one_of(*SHARES)})",
            lambda: f"tanh({self.number(deep - 1)} + {self.number(deep - 1)})",
            lambda: self.match(lambda: self.number(deep - 1), zero=True),
            lambda: self.ratio(deep - 1),
        )

    def ratio(self, deep: int) -> str:
        """How much of a change's size its mean leaves, per tensor, layer or model."""
        change, per = self.delta(deep), f"per = {self.one_of('tensor', 'layer', 'model')}"
        return f"abs(sum({change}, {per})) / sum(abs({change}), {per})"

    def match(self, part: Way, *, zero: bool = False) -> str:
        patterns = self.draw(st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3, unique=True))
        arms = [f"{pattern} => {part()}" for pattern in patterns]
        if zero and self.draw(st.booleans()):
            arms[0] = f"{patterns[0]} => 0"
        return f"(match name {{ {', '.join([*arms, f'else => {part()}'])} }})"


@st.composite
def recipes(draw: Callable[..., object], *, deepest: int = 3) -> str:
    """The text of a recipe with some `let`s and one `merge`, over Models given as `base`, `a` and `b`."""
    writer, lines = Writer(draw), []
    for number in range(draw(st.integers(0, 2))):
        lines.append(f"let change{number} = {writer.delta(draw(st.integers(0, 2)))}")
        writer.deltas.append(f"change{number}")
    if draw(st.booleans()):
        lines.append(f"let tasks = [{writer.delta(0)}, {writer.delta(1)}]")
        writer.lists.append("tasks")
    lines.append(f"merge {writer.model(draw(st.integers(1, deepest)))}")
    return "\n".join(lines) + "\n"
