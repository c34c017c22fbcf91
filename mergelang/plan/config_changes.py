"""What a recipe changes in a config, held against the tensors that go with it: a config that lies loads no model."""

from __future__ import annotations

import json
from collections.abc import Mapping

from mergelang.catalog import LAYER_KEYS
from mergelang.plan.experts import common_count, experts_told, routers_told, width_told
from mergelang.plan.model import ConfigValue
from mergelang.plan.space import Space, layer_count
from mergelang.plan.template import Template
from mergelang.problem import Problem
from mergelang.span import Place, Span, narrowed

EXPERT_KEYS = ("num_local_experts", "num_experts", "n_routed_experts")
CHOSEN_KEYS = ("num_experts_per_tok", "num_experts_per_token")  # through how many of them each token goes
WIDTHS = {"moe_intermediate_size": r"experts\.\d+", "shared_expert_intermediate_size": "shared_expert"}
KINDS = {str: "a text", int: "a number", float: "a number", bool: "true or false", list: "a list"}
# One number and a list of them may stand in one place, as for `eos_token_id`.
ALIKE = ({"a text"}, {"a number"}, {"true or false"}, {"a list"}, {"a number", "a list"})


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
        if key in LAYER_KEYS and counted is not None and _differs(value, counted):
            raise _otherwise(key, value, _has(counted, "layer"), counted, place)
        if key in (*EXPERT_KEYS, *CHOSEN_KEYS):
            _check_experts(key, value, space, place)
        width = width_told(space, WIDTHS[key]) if key in WIDTHS else None
        if width is not None and _differs(value, width):
            raise _otherwise(key, value, f"these experts are {width} wide", width, place)
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


def _differs(value: ConfigValue, told: int) -> bool:
    return value != told or isinstance(value, bool)


def _has(count: int, what: str) -> str:
    return f"the result has {count} {what}{'' if count == 1 else 's'}"


def _check_experts(key: str, value: ConfigValue, space: Space, place: Place) -> None:
    told = experts_told(space)
    if told is None:
        return
    count = common_count(told.values())
    if count is None and key in EXPERT_KEYS:
        raise _unlike_layers(key, value, told, place)
    if count is None:
        return
    if _differs(value, count) if key in EXPERT_KEYS else isinstance(value, int) and value > count:
        raise _otherwise(key, value, _has(count, "expert"), count, place)
    for name, rows in routers_told(space, told).items() if key in EXPERT_KEYS else ():
        if rows != count:
            raise _other_router(key, name, rows, count, place)


def _unlike_layers(key: str, value: ConfigValue, told: Mapping[str, set[int]], place: Place) -> Problem:
    wanted = set(range(max(len(numbers) for numbers in told.values())))
    other = next(where for where, numbers in told.items() if numbers != wanted)
    message = (
        f"The config would say `{key}` is {json.dumps(value)}, which is of every layer, "
        f"and {other} has only the experts numbered {', '.join(map(str, sorted(told[other])))}."
    )
    return Problem("config-differs", message, place, fix="take each expert from a Model of as many layers as the base")


def _other_router(key: str, name: str, rows: int, count: int, place: Place) -> Problem:
    message = f"The config would say `{key}` is {count}, and {name} chooses from {rows}: it has a row for each."
    return Problem(
        "config-differs", message, place, fix=f"give routers of {count} rows, as random_routers({count}, base) draws"
    )


def _otherwise(key: str, value: ConfigValue, said: str, told: int, place: Place) -> Problem:
    message = f"The config would say `{key}` is {json.dumps(value)}, and {said}."
    entry = f"{key} = {told}"
    if isinstance(place, Span) and key not in place.text:  # a method says it, and the recipe has the last word
        return Problem("config-differs", message, place, fix=f"config({entry}, {place.text})")
    return Problem("config-differs", message, place, fix=entry)


def _other_kind(key: str, value: ConfigValue, stood: object, place: Place) -> Problem:
    said, needed = KINDS[type(value)], KINDS[type(stood)]
    message = f"The config would say `{key}` is {json.dumps(value)}, {said}, and loaders look for {needed} there."
    return Problem("config-differs", message, place, fix=f"{key} = {json.dumps(stood)}")
