"""What a recipe changes in a config, held against the tensors that go with it: a config that lies loads no model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from mergelang.catalog import LAYER_KEYS
from mergelang.plan.model import ConfigValue
from mergelang.plan.space import Space, layer_count
from mergelang.plan.template import Template
from mergelang.problem import Problem
from mergelang.span import Place, narrowed

EXPERT_KEYS = ("num_local_experts", "num_experts", "n_routed_experts")
KINDS = {str: "a text", int: "a number", float: "a number", bool: "true or false", list: "a list"}
# One number and a list of them may stand in one place, as for `eos_token_id`.
ALIKE = ({"a text"}, {"a number"}, {"true or false"}, {"a list"}, {"a number", "a list"})
_NUMBERED = re.compile(r"(.*\bexperts)\.(\d+)\..*")
_STACKED = re.compile(r".*\bexperts\.[^.]+")


def config_changes(
    template: Template, before: Mapping[str, object], space: Space, layers: int | None, places: Mapping[int, Place]
) -> dict[str, ConfigValue]:
    """The entries to be changed in the config `before`, each with its new value.

    `layers` is how many there are now, if not as many as before. Raises Problem `config-differs` where the tensors tell
    otherwise, and where an entry would become one of another kind.
    """
    changes = {key: template.value(key) for key in template.changes}
    counted = layers if layers is not None else layer_count(space) or None
    for key, value in changes.items():
        place = narrowed(places[template.changes[key].id], key)
        told = counted if key in LAYER_KEYS else expert_count(space) if key in EXPERT_KEYS else None
        if told is not None and (value != told or isinstance(value, bool)):
            raise _otherwise(key, value, told, place)
        stood = _entry(before, key)
        if stood is None and _is_count(key):
            stood = 8
        if type(stood) in KINDS and {KINDS[type(stood)], KINDS[type(value)]} not in ALIKE:
            raise _other_kind(key, value, stood, place)
    return changes


def _is_count(key: str) -> bool:
    """Whether the entry says how many of something there are, by the names that configs have for such."""
    return key.startswith(("num_", "n_")) or key.endswith("_size")


def _entry(config: Mapping[str, object], key: str) -> object:
    """What the config says, at its top or in the text part of a larger model."""
    inner = config.get("text_config")
    return config.get(key, inner.get(key) if isinstance(inner, dict) else None)


def expert_count(space: Space) -> int | None:
    """How many experts the tensors' names and shapes tell of each layer; None where they tell nothing, or not one."""
    numbered: dict[str, set[int]] = {}
    for name in space.keys:
        if found := _NUMBERED.fullmatch(name):
            numbered.setdefault(found[1], set()).add(int(found[2]))
    stacked = {key.shape[0] for name, key in space.keys.items() if len(key.shape) == 3 and _STACKED.fullmatch(name)}
    counts = {len(numbers) for numbers in numbered.values()} | stacked
    return counts.pop() if len(counts) == 1 else None


def _otherwise(key: str, value: ConfigValue, told: int, place: Place) -> Problem:
    what = "layers" if key in LAYER_KEYS else "experts"
    message = f"The config would say `{key}` is {json.dumps(value)}, and the result has {told} {what}."
    return Problem("config-differs", message, place, fix=f"{key} = {told}")


def _other_kind(key: str, value: ConfigValue, stood: object, place: Place) -> Problem:
    said, needed = KINDS[type(value)], KINDS[type(stood)]
    message = f"The config would say `{key}` is {json.dumps(value)}, {said}, and loaders look for {needed} there."
    return Problem("config-differs", message, place, fix=f"{key} = {json.dumps(stood)}")
