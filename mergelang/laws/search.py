"""The smallest example against a law that Hypothesis can find."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import seed as seeded
from hypothesis.configuration import set_hypothesis_home_dir

from mergelang.laws.draw import Example, examples
from mergelang.laws.verdict import Counterexample
from mergelang.syntax.tree import Law


class _Against(Exception):
    """Carries the counterexample through Hypothesis, which takes any exception for a failure and shrinks it."""

    def __init__(self, found: Counterexample) -> None:
        super().__init__(str(found))
        self.found = found


def smallest(
    law: Law, against: Callable[[Example], Counterexample | None], count: int, seed: int
) -> Counterexample | None:
    """The counterexample that is left after shrinking, or None if `count` examples held. Equal seeds, equal answers."""

    @seeded(seed)
    @settings(
        max_examples=count, deadline=None, database=None, verbosity=Verbosity.quiet, print_blob=False,
        phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
    )  # fmt: skip
    @given(examples(law))
    def hold(example: Example) -> None:
        found = against(example)
        if found is not None:
            raise _Against(found)

    try:
        hold()
    except _Against as failure:
        return failure.found
    return None


def leave_no_folder() -> None:
    """Lets Hypothesis keep its notes among the temporary files, not in `.hypothesis` where a command is run."""
    set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "mergelang-hypothesis")
