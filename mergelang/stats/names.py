"""Which parameter of the running model each tensor of its checkpoint is."""

from __future__ import annotations

from torch.nn import Module, Parameter

from mergelang.catalog import Checkpoint
from mergelang.escaped import escaped
from mergelang.problem import Problem
from mergelang.span import FileSpot

_MOST_NAMED = 5


def parameters_of(model: Module, checkpoint: Checkpoint) -> dict[str, Parameter]:
    """The model's parameters by the names that the checkpoint saves them under; a tied one has its canonical name.

    Raises `names-differ` where a parameter is saved under no name of its own, or in another shape.
    """
    names: dict[Parameter, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(parameter, []).append(name)
    found, strangers = {}, []
    for parameter, called in names.items():
        saved = next((name for name in called if _is_saved(checkpoint, name, parameter)), None)
        if saved is None:
            strangers.append(called[0])
        else:
            found[saved] = parameter
    if strangers:
        raise _names_differ(checkpoint, strangers)
    return found


def _is_saved(checkpoint: Checkpoint, name: str, parameter: Parameter) -> bool:
    return name in checkpoint.tensors and checkpoint.tensors[name].shape == tuple(parameter.shape)


def _names_differ(checkpoint: Checkpoint, strangers: list[str]) -> Problem:
    named = "\n".join(f"    {escaped(name)}" for name in sorted(strangers)[:_MOST_NAMED])
    message = (
        f"transformers changes the names or shapes of tensors while it loads this model, so {len(strangers)} of its "
        f"parameters are no tensors of the files. What is learnt of them would fit no recipe:\n\n{named}"
    )
    fix = "model.save_pretrained(NEW, save_original_format=False)   # then --model NEW, and recipes over such folders"
    return Problem("names-differ", message, FileSpot(checkpoint.path), fix=fix)
