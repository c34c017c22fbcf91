"""A plan run from open inputs into tensors in memory: for notebooks and tests."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mergelang.catalog import OutTensor
from mergelang.formats.memory_sink import MemorySink
from mergelang.formats.protocols import Source
from mergelang.plan.model import Plan
from mergelang.run.executor import execute
from mergelang.run.reopen import check_unchanged
from mergelang.run.watch import Counter, Watcher


def run_in_memory(plan: Plan, sources: Sequence[Source], watch: Watcher | None = None) -> dict[str, dict[str, Tensor]]:
    """For each output its tensors by name; tied ones share their memory. Closes the sources."""
    try:
        check_unchanged(plan, sources)
        for source in sources:
            source.check_ties()
        sinks = [
            MemorySink([OutTensor(one.name, one.shape, one.dtype) for one in output.tensors], output.tied)
            for output in plan.outputs
        ]
        execute(plan, sources, sinks, watch or Counter())
        for sink in sinks:
            sink.finish({})
        return {output.name: sink.tensors for output, sink in zip(plan.outputs, sinks, strict=True)}
    finally:
        for source in sources:
            source.close()
