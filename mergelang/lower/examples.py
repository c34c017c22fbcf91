"""What a recipe could say in a place, in its own names: for the fix of a message where the text alone gives none."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from mergelang.graph.node import Node
from mergelang.lower.rewrite_text import atom


@dataclass(slots=True)
class Examples:
    """Makes expressions of every type from the Models that the recipe has named so far."""

    _names: dict[Node, str] = field(default_factory=dict)

    @property
    def models(self) -> list[str]:
        """The names, one for each Model."""
        return list(self._names.values())

    def add(self, name: str, model: Node) -> None:
        """Notes a Model's name. Of two for one Model only one is shown: their difference would be no change."""
        if "base" not in self._names.get(model, ""):
            self._names[model] = name

    def base(self, beside: str = "") -> str:
        """A Model to measure changes from, other than those in the text `beside`."""
        free = self._free(beside)
        return next((name for name in free if "base" in name), free[0] if free else 'checkpoint("path/to/base")')

    def tuned(self, beside: str = "") -> str:
        """A Model that has changed from the base, other than those in the text `beside`."""
        return self._tuned(beside, 1)[0]

    def change(self, beside: str = "") -> str:
        """A Delta in parentheses."""
        tuned = self.tuned(beside)
        return f"({tuned} - {self.base(tuned)})"

    def difference(self, model: str) -> str:
        """The change between a Model, given by its text, and another one: its own, or from it if it is a base."""
        if re.fullmatch(r"\w*base\w*", model):
            return f"{self.tuned(model)} - {model}"
        base = self.base()
        return f"{atom(model)} - {base if 'base' in base and base != model else self.base(model)}"

    def of(self, type_name: str, depth: int = 0) -> str:
        """An expression of the type, or a list of two."""
        one, other = self._tuned("", 2)
        base = self.base(f"{one} {other}")
        single, second = {
            "Model": (one, other), "Delta": (f"{one} - {base}", f"{other} - {base}"),
            "Field": (f"raw({one} - {base})", f"raw({other} - {base})"), "Frame": (f"lines({base})", f"lines({one})"),
            "Share": ("50%", "50%"), "Text": ('"text"', '"text"'), "Truth": ("true", "false"),
            "Scope": ("model", "tensor"), "Function": ("let same(x) = x in same",) * 2,
        }.get(type_name, ("1", "1"))  # fmt: skip
        return f"[{single}, {second}]" if depth else single

    def _tuned(self, beside: str, count: int) -> list[str]:
        named = [name for name in self._free(beside) if "base" not in name]
        return [*named, *(f'checkpoint("path/to/{name}")' for name in ("tuned", "other"))][:count]

    def _free(self, beside: str) -> list[str]:
        taken = set(re.findall(r"\w+", beside))
        return [name for name in self.models if name not in taken]
