"""A plan run as a whole: everything is checked first, and the outputs appear complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mergelang.formats.claim import Claim
from mergelang.formats.partial import appeared, partial_of
from mergelang.formats.protocols import Source
from mergelang.formats.shards import DEFAULT_SHARD_BYTES
from mergelang.plan.model import Plan
from mergelang.problem import Problem, nothing_at
from mergelang.run.card import Parent
from mergelang.run.facts import Facts
from mergelang.run.hashes import input_hashes
from mergelang.run.journal import Journal, Past, read_journal
from mergelang.run.lock import read_lock
from mergelang.run.locked_source import LockCheck
from mergelang.run.making import Making
from mergelang.run.record import Asked
from mergelang.run.reopen import check_unchanged, open_planned
from mergelang.run.report import Recorder, RunReport
from mergelang.run.resume import check_same_run, identity, unfinished
from mergelang.run.targets import check_targets, is_file, target_paths
from mergelang.run.watch import Counter, Watcher
from mergelang.span import Place

# Faults of the machine, not of the recipe or its inputs: what was finished by then is worth keeping.
PASSING_FAULTS = frozenset(
    ["no-room", "write-failed", "write-damaged", "unreadable-file", "short-read", "output-exists"]
)


def run_plan(
    plan: Plan,
    out: Path,
    *,
    sources: Sequence[Source] | None = None,
    shard_bytes: int = DEFAULT_SHARD_BYTES,
    watch: Watcher | None = None,
    place: Place | None = None,
    recipe_name: str = "recipe.merge",
    asked: Asked | None = None,
    resume: bool = False,
    lock: Path | None = None,
) -> RunReport:
    """Runs the plan into `out`: a folder, one file (`*.safetensors`), or for several outputs a folder of folders.

    `sources` are the open inputs in the plan's order (else they are opened by its paths); they are closed at the end.
    `place` stands in the Problems about `out`. With `resume`, goes on with what an interrupted run into `out` left, if
    there is any. With the file `lock`, the inputs are held to it. Raises `input-changed`, `locked-input-changed`,
    `run-under-way`, `unfinished-run`, `cannot-resume`, `write-damaged`, and the Problems of `check_target` and of
    `execute`.
    """
    recorder, place, out = Recorder(watch or Counter()), place or nothing_at("--out"), out.expanduser().absolute()
    opened = list(sources) if sources is not None else open_planned(plan, place)
    try:
        inputs = [source.checkpoint for source in opened]
        check_unchanged(plan, opened)
        paths = target_paths(plan, out, place)
        check_targets(plan, out, inputs, place)
        for source in opened:
            source.check_ties()
        refs = [planned.ref for planned in plan.inputs]
        parents = [Parent(*pair) for pair in zip(refs, input_hashes(opened), strict=True)]
        facts = Facts(plan, inputs, parents, recipe_name, asked or Asked(), shard_bytes)
        with _held_to(lock, plan, opened) as (held, check):
            _write(facts, out, _Work(held, check, recorder), place, resume)
    finally:
        recorder.finished()
        for source in opened:
            source.close()
    return recorder.report(tuple(paths), plan.gaps)


def can_go_on(out: Path) -> bool:
    """True if an interrupted run into `out` left something that `resume` can use."""
    return not read_journal(partial_of(out.expanduser().absolute()) / "journal").is_empty()


_Held = tuple[Sequence[Source], Callable[[], None]]


@dataclass(frozen=True, slots=True)
class _Work:
    """What a run reads, what must hold before it is put in place, and who is told of it."""

    sources: Sequence[Source]
    check: Callable[[], None]
    watch: Recorder


@contextmanager
def _held_to(lock: Path | None, plan: Plan, sources: Sequence[Source]) -> Iterator[_Held]:
    """The sources, held to their lock where there is one, and the last check of them."""
    if lock is None:
        yield sources, lambda: None
        return
    held = LockCheck(sources, read_lock(lock), lock)
    try:
        held.start(plan)
        yield held.sources, held.finish
    finally:
        held.close()


def _write(facts: Facts, out: Path, work: _Work, place: Place, resume: bool) -> None:
    claim = Claim(out)
    try:
        if os.path.lexists(out):  # another run has finished it since we looked
            raise appeared(out)
        past = _past(facts, claim, place, resume)
        journal = Journal(claim.journal)
        try:
            if not past.run:
                journal.run(_identity(facts, out))
            Making(facts, claim, past).run(work.sources, journal, work.watch, work.check)
        except BaseException as fault:
            journal.close()
            raise _left_behind(fault, claim, facts) from None
        journal.close()
        claim.remove()
    finally:
        claim.release()


def _past(facts: Facts, claim: Claim, place: Place, resume: bool) -> Past:
    """What can be gone on with; where that is nothing, the folder is empty."""
    past = read_journal(claim.journal)
    if past.is_empty():
        claim.clear()
        return Past()
    if not resume:
        raise unfinished(past, claim.folder, place, f"{facts.command(str(claim.target))} --resume")
    check_same_run(past, _identity(facts, claim.target), claim.folder, place)
    return past


def _identity(facts: Facts, out: Path) -> dict[str, str]:
    return identity(facts.plan, facts.parents, facts.shard_bytes, is_file(out))


def _left_behind(fault: BaseException, claim: Claim, facts: Facts) -> BaseException:
    """The fault, once what is of no use any more is removed; it says how to go on where that can be done."""
    passing = not isinstance(fault, Problem) or fault.slug in PASSING_FAULTS
    if not passing or read_journal(claim.journal).is_empty():
        claim.remove()
        return fault
    if not isinstance(fault, Problem):
        return fault
    message = f"{fault.message} What was finished by then is kept."
    fix = f"{fault.fix}; then go on: {facts.command(str(claim.target))} --resume"
    return Problem(fault.slug, message, fault.place, fix=fix, also=fault.also)
