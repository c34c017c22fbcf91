"""What an adapter's adapter_config.json says, as far as it decides the change that the adapter makes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mergelang.formats.damage import damaged
from mergelang.formats.json_file import read_object
from mergelang.problem import Problem

CONFIG_NAME = "adapter_config.json"

# Settings under which a merge would need another formula, with what they do.
_UNSUPPORTED = {
    "use_qalora": "pools its inputs (QA-LoRA)",
    "use_bdlora": "has block-diagonal factors (BD-LoRA)",
    "alora_invocation_tokens": "acts on some tokens only (activated LoRA)",
    "arrow_config": "is routed between several adapters (Arrow)",
    "layer_replication": "repeats layers of its model (layer_replication)",
    "trainable_token_indices": "changes single tokens of an embedding (trainable_token_indices)",
    "target_parameters": "changes parameters that are no layers (target_parameters)",
}
# The other ways to start a LoRA, such as PiSSA and OLoRA, also change the weights that it is added to.
_PLAIN_STARTS = (None, True, False, "gaussian", "eva", "orthogonal")
# Beyond any rank or alpha; larger whole numbers would not even fit a float.
_MOST = 2**31
AS_FULL_MODEL = 'merge it with peft (`merge_and_unload`), save the model, and write:\ncheckpoint("./merged") - base'


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """The settings of a LoRA. The patterns map a regular expression of module paths to a rank or an alpha of their own.

    `saves` are endings of module paths whose tensors are stored whole; `saves_biases` says the same of biases. With
    `rescales` (DoRA) each row is brought to a learnt length; with `shifts` the second factor has a bias.
    """

    path: str
    rank: int
    alpha: float
    root_scaling: bool
    transposed: bool
    rank_pattern: Mapping[str, float]
    alpha_pattern: Mapping[str, float]
    saves: tuple[str, ...]
    saves_biases: bool
    rescales: bool
    shifts: bool

    def rank_of(self, module: str) -> int:
        """The rank that the config gives to the module."""
        return int(self._own(self.rank_pattern, module, self.rank))

    def scale_of(self, module: str) -> float:
        """What the product of the module's factors is multiplied by: alpha / r, or for rsLoRA alpha / sqrt(r)."""
        alpha, rank = self._own(self.alpha_pattern, module, self.alpha), self.rank_of(module)
        return alpha / math.sqrt(rank) if self.root_scaling else alpha / rank

    def _own(self, pattern: Mapping[str, float], module: str, otherwise: float) -> float:
        """As PEFT finds it: the first key that fits the whole path, or its end after a dot."""
        return next((value for key, value in pattern.items() if re.match(rf"(.*\.)?({key})$", module)), otherwise)


def read_adapter_config(folder: Path) -> AdapterConfig:
    """The checked config of the adapter in `folder`.

    Raises `adapter-config-not-json`, `bad-adapter-config`, and `unsupported-adapter` for all but LoRA and DoRA.
    """
    path = folder / CONFIG_NAME
    words = read_object(path, "adapter-config-not-json")
    _refuse_unsupported(words, str(path))
    return AdapterConfig(
        path=str(path),
        rank=int(_number(words.get("r"), "r", str(path), whole=True)),
        alpha=_number(words.get("lora_alpha"), "lora_alpha", str(path)),
        root_scaling=words.get("use_rslora") is True,
        transposed=words.get("fan_in_fan_out") is True,
        rank_pattern=_pattern(words.get("rank_pattern"), "rank_pattern", str(path), whole=True),
        alpha_pattern=_pattern(words.get("alpha_pattern"), "alpha_pattern", str(path)),
        saves=_texts(words.get("modules_to_save"), "modules_to_save", str(path)),
        saves_biases=words.get("bias", "none") in ("all", "lora_only"),
        rescales=words.get("use_dora") is True,
        shifts=words.get("lora_bias") is True,
    )


def unsupported(what: str, path: str, part: str = "") -> Problem:
    """The Problem of an adapter that `what` sets apart; it ends the sentence "This adapter ..."."""
    message = f"This adapter {what}. What can be read here is LoRA, a product of two factors per weight, and DoRA."
    return damaged("unsupported-adapter", message, path, part, AS_FULL_MODEL)


def _refuse_unsupported(words: Mapping[str, object], path: str) -> None:
    kind = words.get("peft_type")
    if not isinstance(kind, str):
        raise _bad("must name its kind as `peft_type`", path, "peft_type", '"peft_type": "LORA"')
    if kind.upper() != "LORA":
        raise unsupported(f'is of the kind "{kind}"', path, "peft_type")
    for name, what in _UNSUPPORTED.items():
        if words.get(name):
            raise unsupported(what, path, name)
    start = words.get("init_lora_weights")
    if start not in _PLAIN_STARTS:
        what = f'was started as "{start}", which changes the weights that it is added to'
        raise unsupported(what, path, "init_lora_weights")


def _number(value: object, name: str, path: str, whole: bool = False) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and _fits(value, whole):
        return value
    needed = "a whole number from 1 up" if whole else "a number"
    raise _bad(f"must give `{name}` as {needed}", path, name, f'"{name}": 16')


def _fits(value: float, whole: bool) -> bool:
    return 1 <= value <= _MOST and value == int(value) if whole else -_MOST <= value <= _MOST


def _pattern(value: object, name: str, path: str, whole: bool = False) -> dict[str, float]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _bad(f"must give `{name}` as an object of patterns and numbers", path, name, f'"{name}": {{}}')
    for key in value:
        try:
            re.compile(key)
        except (re.error, RecursionError, OverflowError):
            raise _bad(f"must give `{name}` as regular expressions", path, name, f'"{name}": {{}}') from None
    return {key: _number(one, name, path, whole) for key, one in value.items()}


def _texts(value: object, name: str, path: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    raise _bad(f"must give `{name}` as a list of names", path, name, f'"{name}": null')


def _bad(what: str, path: str, part: str, fix: str) -> Problem:
    message = f"The config of a LoRA adapter {what}, and this one does not."
    return damaged("bad-adapter-config", message, path, part, fix)
