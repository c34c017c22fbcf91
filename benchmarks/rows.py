"""The benchmark's recipes, the same merge for every tool, and what each must reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.checkpoints import BASE, MODELS, TUNES

Config = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Target:
    """A bound that must hold and the one aimed at."""

    must: float
    aim: float


@dataclass(frozen=True, slots=True)
class Row:
    """One recipe: its inputs, its text, mergekit's configuration of the same merge, and the targets.

    `over_floor` bounds the run's own time over the floor from above, `over_mergekit` mergekit's whole process over
    this project's from below.
    """

    name: str
    title: str
    merge: str
    over_floor: Target
    over_mergekit: Target | None = None
    mergekit: Config | None = None
    mecha: bool = False  # sd_mecha_merge.py has it too
    inputs: tuple[str, ...] = MODELS

    def recipe(self) -> str:
        """The recipe's text; it lies in a folder beside the models."""
        lets = [self._let(model) for model in self.inputs]
        return "\n".join([*lets, "", f"merge {self.merge}", ""])

    def _let(self, model: str) -> str:
        merges_changes = "base +" in self.merge or "lines(base)" in self.merge
        return f'let {model} = checkpoint("../{model}")' + (" - base" if merges_changes and model != BASE else "")


TASKS = f"[{', '.join(TUNES)}]"
EACH = round(1 / len(TUNES), 4)


def _mergekit(method: str, models: Mapping[str, Config], base: str | None = BASE, **parameters: object) -> Config:
    entries = [{"model": name, "parameters": dict(given)} for name, given in models.items()]
    found: dict[str, object] = {"merge_method": method, "models": entries, "dtype": "bfloat16"}
    return found | ({"base_model": base} if base else {}) | ({"parameters": parameters} if parameters else {})


def _alike(names: Sequence[str], **parameters: object) -> Mapping[str, Config]:
    return dict.fromkeys(names, parameters)


LINEAR_WEIGHTS = dict(zip(MODELS, (0.4, 0.3, 0.2, 0.1), strict=True))


def _nested(depth: int) -> str:
    """`depth` averages, one inside the other, over all models in turn."""
    text = MODELS[0]
    for level in range(1, depth + 1):
        text = f"average([{text}, {MODELS[level % len(MODELS)]}])"
    return text


LIGHT, LIGHT_MERGEKIT = Target(2.5, 1.5), Target(4, 8)

ROWS = (
    Row(
        "average", "average of four models", f"average([{', '.join(MODELS)}])", LIGHT, LIGHT_MERGEKIT,
        _mergekit("linear", _alike(MODELS, weight=1.0), None), True,
    ),
    Row(
        "linear", "linear, four weights", f"linear(weights = [0.4, 0.3, 0.2, 0.1], [{', '.join(MODELS)}])",
        LIGHT, LIGHT_MERGEKIT,
        _mergekit("linear", {name: {"weight": weight} for name, weight in LINEAR_WEIGHTS.items()}, None),
    ),
    Row(
        "task_arithmetic", "task arithmetic", f"base + task_arithmetic(scale = 0.4, {TASKS})", LIGHT, LIGHT_MERGEKIT,
        _mergekit("task_arithmetic", _alike(TUNES, weight=0.4)), True,
    ),
    Row(
        "slerp", "slerp (two models)", "slerp(t = 0.3, math, code)", Target(3, 2), Target(4, 8),
        _mergekit("slerp", _alike(TUNES[:2]), TUNES[0], t=0.3), True, inputs=TUNES[:2],
    ),
    Row(
        "model_stock", "model stock", f"base + model_stock({TASKS})", Target(4, 2.5), Target(3, 3),
        _mergekit("model_stock", _alike(TUNES)),
    ),
    Row(
        "sce", "sce", f"base + sce(topk = 20%, {TASKS})", Target(8, 5), Target(15, 30),
        _mergekit("sce", _alike(TUNES), select_topk=0.2),
    ),
    Row(
        "ties", "ties, per tensor", f"base + ties(density = 20%, per = tensor, {TASKS})", Target(8, 5), Target(20, 40),
        _mergekit("ties", _alike(TUNES, weight=1.0, density=0.2)), True,
    ),
    Row(
        "ties_model", "ties, whole model", f"base + ties(density = 20%, {TASKS})", Target(12, 7), Target(15, 25),
        _mergekit("ties", _alike(TUNES, weight=1.0, density=0.2)),
    ),
    Row(
        "breadcrumbs", "breadcrumbs with sign election",
        f'base + disjoint_merge(fuse = "sum", crumbs(beta = 85%, gamma = 1%, {TASKS}))', Target(9, 6), Target(25, 40),
        _mergekit("breadcrumbs_ties", _alike(TUNES, weight=1.0, density=0.14, gamma=0.01)),
    ),
    Row(
        "dare", "dare", f"base + mean(dare(p = 80%, {TASKS}))", Target(8, 5), Target(8, 15),
        _mergekit("dare_linear", _alike(TUNES, weight=EACH, density=0.2)),
    ),
    Row(
        "dare_ties", "dare + ties", f'base + dare_ties(p = 80%, fuse = "sum", {TASKS})', Target(8, 5), Target(8, 15),
        _mergekit("dare_ties", _alike(TUNES, weight=1.0, density=0.2)), True,
    ),
    Row(
        "della", "della", f"base + della(density = 50%, epsilon = 15%, {TASKS})", Target(15, 9), Target(25, 50),
        _mergekit("della", _alike(TUNES, weight=1.0, density=0.5, epsilon=0.15)),
    ),
    Row("pcb", "pcb + lines, whole model", f"pcb(ratio=0.2, {TASKS}) + lines(base)", Target(25, 14)),
    Row("tree", "tree of 10 nested averages", _nested(10), LIGHT),
)  # fmt: skip


class UnknownRow(Exception):
    """A row was asked for that is not there."""


def chosen(names: str | None) -> tuple[Row, ...]:
    """The rows of a comma-separated list of names, or all. Raises UnknownRow."""
    if not names:
        return ROWS
    by_name = {row.name: row for row in ROWS}
    wanted = [name.strip() for name in names.split(",")]
    unknown = [name for name in wanted if name not in by_name]
    if unknown:
        raise UnknownRow(f"There is no row `{unknown[0]}`; there are {', '.join(by_name)}.")
    return tuple(by_name[name] for name in wanted)
