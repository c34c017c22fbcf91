"""The Problems that only the weights themselves can reveal."""

from __future__ import annotations

from mergelang.catalog import DTYPE_BITS
from mergelang.formats.protocols import Source
from mergelang.plan.model import Leaf, Plan, Store
from mergelang.problem import Problem
from mergelang.span import FileSpot, Place, SourceText, Span

_COUNTING_BLOCK = 1 << 20  # weights


def not_finite(source: Source, leaf: Leaf, elements: int) -> Problem | None:
    """Problem `not-finite` for a tensor that holds NaN or infinity, else None. Reads the whole tensor to count them."""
    import torch

    from mergelang.formats.dtypes import to_float

    count, first, word = 0, -1, ""
    width = DTYPE_BITS[leaf.dtype] // 8
    for start in range(0, elements, _COUNTING_BLOCK):
        size = min(_COUNTING_BLOCK, elements - start)
        raw = torch.empty(size * width, dtype=torch.uint8)
        source.read_into(leaf.tensor, start * width, raw.numpy().data)
        block = to_float(raw, leaf.dtype, torch.empty(size, dtype=torch.float64))
        bad = torch.nonzero(~torch.isfinite(block))
        if count == 0 and len(bad):
            first = start + int(bad[0])
            word = "NaN" if bool(torch.isnan(block[first - start])) else "infinity"
        count += len(bad)
    return _not_finite(source, leaf, elements, count, first, word) if count else None


def _not_finite(source: Source, leaf: Leaf, elements: int, count: int, first: int, word: str) -> Problem:
    ref = source.checkpoint.ref
    message = (
        f'"{leaf.tensor}" of `{ref}` holds {count:,} of {elements:,} weights that are no finite number. The first is '
        f"{word}, at place {first:,}. A merge would spread it, so every weight must be finite."
    )
    place = FileSpot(source.checkpoint.path, leaf.tensor)
    return Problem("not-finite", message, place, fix="mergelang run --allow-nonfinite RECIPE")


def overflow(store: Store, plan: Plan) -> Problem:
    """Problem `overflow`, at the merge of the recipe: a result lies outside what the output's dtype can hold."""
    message = (
        f'The result for "{store.tensor}" holds weights beyond the range of {store.dtype}, '
        "although the inputs are finite. Saving it would turn them into infinity or NaN."
    )
    if store.dtype == "F16" or DTYPE_BITS[store.dtype] < 16:
        fix = "--dtype BF16"
    elif store.dtype == plan.precision == "F64":
        fix = "a smaller coefficient: no dtype holds larger numbers"
    else:
        fix = "--dtype F64 --precision F64"
    return Problem("overflow", message, _merge_of(plan, store), fix=fix)


def _merge_of(plan: Plan, store: Store) -> Place:
    """Where the recipe says what the output is; the output itself where the plan does not tell."""
    if not plan.merges:
        return FileSpot("the output", store.tensor)
    return Span(SourceText("the recipe", plan.recipe), *plan.merges[store.output])


def not_decomposed(tensor: str) -> Problem:
    """Problem `not-decomposed`: LAPACK has given up on a matrix."""
    message = (
        f'At "{tensor}" the decomposition of a matrix of finite numbers did not converge, which is rare: its numbers '
        "differ by too many orders of magnitude. Another value can be given there, or what is decomposed be clipped."
    )
    fix = f'match name {{ "{tensor}" => mean(changes), else => ... }}'
    return Problem("not-decomposed", message, FileSpot("the recipe", tensor), fix=fix)


def buffers_differ(sources: list[Source], first: Leaf, other: Leaf) -> Problem:
    """Problem `buffers-differ`: a tensor that cannot be merged is not the same in all inputs."""
    one, two = (sources[leaf.input].checkpoint for leaf in (first, other))
    message = (
        f'"{first.tensor}" holds {first.dtype} numbers, which are not merged but copied, and must be the same in every '
        f"input. They differ between `{one.ref}` and `{two.ref}`. Say whose are meant:"
    )
    model = one.ref if one.kind == "memory" else f'checkpoint("{one.ref}")'
    fix = f'match name {{ "{first.tensor}" => {model}, else => ... }}'
    places = FileSpot(one.path, first.tensor), FileSpot(two.path, other.tensor)
    return Problem("buffers-differ", message, places[0], fix=fix, also=(places[1],))
