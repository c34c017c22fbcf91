"""mergelang: model-merge recipes that read like a paper's equations.

>>> import mergelang as ml
>>> merged = ml.merge("base + ties([a - base, b - base])", base=base, a=first, b=second)  # doctest: +SKIP
"""

from mergelang.api import Recipe, compile, merge
from mergelang.problem import Problem

__version__ = "0.1.0"
__all__ = ["Problem", "Recipe", "compile", "merge"]
