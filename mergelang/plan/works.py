"""What one sweep is to do with each tensor, before it becomes tasks.

Tensors that share a decomposition are one work, as the two factors of an adapter are: so it is done once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from mergelang.graph.node import Node
from mergelang.plan.expressions import DECOMPOSING, Expression
from mergelang.plan.model import Store
from mergelang.plan.parts import Part
from mergelang.plan.space import Space


@dataclass(frozen=True, slots=True)
class Job:
    """Something a sweep does with a node for one tensor: store it, or feed it to a model-wide statistic.

    What is stored beside the work's own tensor are so many `weights`, from `first` on, of the tensor of that name, or
    of the same name where that is "".
    """

    node: Node
    output: int = -1
    dtype: str = ""
    part: int = 0  # of a tensor that is made part by part
    stat: str = ""
    round: int = 0
    tensor: str = ""
    first: int = 0
    weights: int = -1


@dataclass(slots=True)
class Work:
    """What one sweep does for one tensor, or for its weights from `first` on. `space` says where numbers such as depth
    come from."""

    key: str
    shape: tuple[int, ...]
    space: Space
    first: int = 0
    jobs: list[Job] = field(default_factory=list)

    def stores(self) -> Iterator[Store]:
        """Where the jobs that store something put it."""
        for job in self.jobs:
            if job.output >= 0 and job.weights >= 0:
                yield Store(job.output, job.tensor or self.key, job.dtype, job.first, job.weights)
            elif job.output >= 0:
                yield Store(job.output, self.key, job.dtype, self.first)


@dataclass(slots=True)
class Works:
    """The works of one sweep."""

    _found: dict[tuple[str, tuple[int, ...], str, int], Work] = field(default_factory=dict)
    _apart: dict[tuple[Expression, str], Work] = field(default_factory=dict)  # by what is taken apart, for a tensor

    def all(self) -> Iterable[Work]:
        return self._found.values()

    def gather(self, job: Job, name: str, space: Space) -> None:
        """Adds a job that feeds a statistic."""
        self._on(name, space, space.keys[name].shape, 0).jobs.append(job)

    def store(self, job: Job, name: str, like: str, space: Space, part: Part) -> None:
        """Adds a job that stores a part of a tensor, whose value is that of the tensor `like` it.

        It goes to a work that takes the same matrix apart, so that this is done once.
        """
        taken = [(one, "" if name == like else name) for one in _taken_apart(part.value)]
        work = next((self._apart[spot] for spot in taken if spot in self._apart), None)
        if work is None or (work.key, work.shape, work.first) == (name, part.shape, part.first):
            work = self._on(name, space, part.shape, part.first)
        else:
            other = "" if work.key == name else name
            job = replace(job, tensor=other, first=part.first, weights=math.prod(part.shape))
        work.jobs.append(job)
        for spot in taken:
            self._apart.setdefault(spot, work)

    def _on(self, name: str, space: Space, shape: tuple[int, ...], first: int) -> Work:
        # Works over the same tensors share a task and so one reading; after a change of structure the same name can
        # mean another tensor, which the first leaf's name tells.
        return self._found.setdefault((name, shape, space.keys[name].name, first), Work(name, shape, space, first))


def _taken_apart(value: Expression) -> list[Expression]:
    """The decompositions that the value is made from; none for one that has not all of its weights by itself."""
    found, stack = dict[Expression, None](), [value] if value.kind == "block" else []
    seen = set(stack)
    while stack:
        one = stack.pop()
        if one.op in DECOMPOSING:
            found[one] = None
        below = [arg for arg in one.args if arg.whole and arg not in seen]
        seen.update(below)
        stack += below
    return list(found)
