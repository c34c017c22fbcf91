"""mergelang: model-merge recipes that read like a paper's equations.

>>> import mergelang as ml
>>> merged = ml.merge("base + ties([a - base, b - base])", base=base, a=first, b=second)  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mergelang.problem import Problem

if TYPE_CHECKING:
    from mergelang.api import Recipe, compile, merge
    from mergelang.plan.build import Request
    from mergelang.plan.model import Budget

__version__ = "0.1.0"
__all__ = ["Budget", "Problem", "Recipe", "Request", "compile", "merge"]


def __getattr__(name: str) -> object:
    """The compiler's names, imported when first used: `mergelang --help` must not wait for it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mergelang import api

    return getattr(api, name)


def __dir__() -> list[str]:
    """What there is to be used; a notebook completes from it."""
    return [*__all__, "__version__"]
