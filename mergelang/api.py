"""Recipes from Python: for notebooks, for tests, and beneath the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mergelang.arguments import models_of, options_of, out_of, recipe_of, request_of, setting_of
from mergelang.pipeline import Compiled, compile_file, compile_text, plan
from mergelang.plan.build import Request
from mergelang.plan.model import Budget, Plan, Precision
from mergelang.problem import Problem, nothing_at

if TYPE_CHECKING:
    import torch

    from mergelang.formats.protocols import Source
    from mergelang.run.report import RunReport

    StateDict = Mapping[str, torch.Tensor]
    One = StateDict | torch.Tensor | str | int | float | Fraction | Path
    Let = One | Sequence[One]


class Recipe:
    """A compiled recipe and the values it was given; made by `compile`."""

    def __init__(self, compiled: Compiled, given: Mapping[str, StateDict]) -> None:
        self.compiled = compiled
        self._given = given

    @property
    def digest(self) -> str:
        """sha256 of the recipe's meaning: names, comments and layout do not count."""
        return self.compiled.digest

    def sources(self) -> list[Source]:
        """The recipe's inputs, opened: headers are read, weights are not. Raises Problems for what cannot be read."""
        from mergelang.formats.inputs import open_inputs

        return open_inputs(self.compiled.graph.inputs, self.compiled.folder, self._given)

    def plan(self, request: Request | None = None) -> Plan:
        """How the recipe will be run, worked out from the inputs' headers."""
        asked, sources = request_of(request), self.sources()
        try:
            return plan(self.compiled, [source.checkpoint for source in sources], asked)
        finally:
            for source in sources:
                source.close()

    def run(self, out: str | Path, request: Request | None = None, **options: object) -> RunReport:
        """Runs the recipe into `out`: a folder, or one file where the name ends in `.safetensors`.

        `options` are those of `run_plan` but for `sources`.
        """
        from mergelang.run.targets import check_shards
        from mergelang.run.transaction import run_plan

        known = [name for name in run_plan.__kwdefaults__ or {} if name != "sources"]
        chosen: dict[str, Any] = dict(options_of(options, known))
        target, asked, sources = out_of(out), request_of(request), self.sources()
        made = plan(self.compiled, [source.checkpoint for source in sources], asked)
        if "shard_bytes" in chosen:
            folder = f'recipe.run("{target.with_suffix("")}", shard_bytes=...)'
            check_shards(made, target, nothing_at("<shard_bytes>"), "shard_bytes", folder)
        return run_plan(made, target, sources=sources, **chosen)

    def tensors(self, request: Request | None = None) -> dict[str, dict[str, torch.Tensor]]:
        """Runs the recipe in memory: for each merge its tensors by name; tied ones share their memory."""
        from mergelang.run.in_memory import run_in_memory

        asked, sources = request_of(request), self.sources()
        made = plan(self.compiled, [source.checkpoint for source in sources], asked)
        return run_in_memory(made, sources)


def compile(recipe: str | Path, **lets: Let) -> Recipe:
    """A recipe from a `.merge` file or from text; `lets` set its params and lets, or give names it uses.

    A dict of tensors is a Model in memory, a path or a text a checkpoint on disk, a number a number, a list a list of
    these. Models that the recipe does not use are left alone, so that several recipes can be compiled over the same
    ones. For a param or a let of type Text a text is that text, for one of another type but Model an expression of the
    language. Raises Problem.
    """
    given = dict(one for name, value in lets.items() for one in models_of(name, value))
    settings = {name: setting_of(name, value) for name, value in lets.items()}
    path = _as_file(recipe_of(recipe))
    compiled = compile_text(str(recipe), settings=settings) if path is None else compile_file(path, settings)
    return Recipe(compiled, given)


def merge(expression: str, *, precision: Precision | None = None, **models: Let) -> dict[str, torch.Tensor]:
    """The Model that an expression makes of dicts of tensors: `merge("0.5 * a + 0.5 * b", a=one, b=other)`.

    Each Model is one that the expression uses. Raises Problem, `unknown-setting` for one that it does not.
    """
    recipe = compile(expression, **models)
    for name in recipe.compiled.lowered.left_over:
        raise _left_over(name)
    outputs = recipe.tensors(Request(precision=precision, budget=Budget(threads=1)))
    if len(outputs) != 1:
        message = f"This makes {len(outputs)} models, and `merge` gives one. `compile` gives them by name."
        raise Problem("several-merges", message, nothing_at("merge"), fix=f'compile(...).tensors()["{min(outputs)}"]')
    return next(iter(outputs.values()))


def _left_over(name: str) -> Problem:
    message = f"The expression has no name `{name}`, so the Model that is given under it would change nothing."
    return Problem("unknown-setting", message, nothing_at(f"<{name}>"), fix=f"leave `{name}` out")


def _as_file(recipe: str | Path) -> Path | None:
    if isinstance(recipe, Path) or (recipe.endswith(".merge") and "\n" not in recipe):
        return Path(recipe)
    return None
