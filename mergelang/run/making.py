"""The outputs of one run while they are made: hidden, checked and journaled, and put in place all at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mergelang.catalog import OutTensor
from mergelang.formats.claim import Claim
from mergelang.formats.damage import write_problem
from mergelang.formats.file_sink import FileSink
from mergelang.formats.folder_sink import FolderSink
from mergelang.formats.partial import appeared
from mergelang.formats.protocols import Sink, Source
from mergelang.formats.rename import rename_new, sync_folder
from mergelang.plan.model import Plan, PlannedOutput
from mergelang.run.checked_sink import CheckedSink
from mergelang.run.executor import execute
from mergelang.run.facts import Facts
from mergelang.run.flusher import Flusher
from mergelang.run.journal import Journal, Past, Spot, Sweep
from mergelang.run.read_back import ReadBack
from mergelang.run.record import RECORD_NAME, UNKNOWN_HASH, encode_record, metadata_of
from mergelang.run.resume import can_resume_after, remaining, stages_digest
from mergelang.run.safekeeping import Safekeeping
from mergelang.run.targets import form_of, is_file, open_sink, written_tensors
from mergelang.run.tied_sink import TiedSink
from mergelang.run.watch import Watcher


@dataclass(frozen=True, slots=True)
class _Output:
    """One output being made: what it holds and the small files that go with it."""

    planned: PlannedOutput
    tensors: tuple[OutTensor, ...]
    files: Mapping[str, bytes]
    sink: FileSink | FolderSink


class Making:
    """The outputs of a run into `claim.target`, gone on with from where the journal's `past` left them."""

    def __init__(self, facts: Facts, claim: Claim, past: Past) -> None:
        self._facts, self._claim, self._past = facts, claim, past
        self._one_file = is_file(claim.target)
        self._outputs: list[_Output] = []
        # Before the run: a config that cannot be carried over must not be found out at its end.
        files = [facts.files(output, path) for output, path in zip(facts.plan.outputs, self._names(), strict=True)]
        try:
            self._open(files)
        except OSError as error:
            self._abort()
            raise write_problem(claim.target, error) from None
        except BaseException:
            self._abort()
            raise

    def run(self, sources: Sequence[Source], journal: Journal, watch: Watcher, check: Callable[[], None]) -> None:
        """Makes what is missing of the outputs, checks all of it, and puts it in place once `check` has passed."""
        flusher = Flusher(lambda: _in_turn([*(output.sink.sync for output in self._outputs), journal.sync]))
        keeping = Safekeeping(journal, flusher, ReadBack())
        try:
            checked = self._made(sources, keeping, watch)
            check()
            flusher.finish()
            self._finish(checked)
        except BaseException:
            keeping.stop()
            self._abort()
            raise
        keeping.stop()

    def _open(self, files: Sequence[Mapping[str, bytes]]) -> None:
        facts, several = self._facts, len(self._facts.plan.outputs) > 1
        if several:
            self._claim.whole.mkdir(exist_ok=True)
        for output, small in zip(facts.plan.outputs, files, strict=True):
            tensors = tuple(written_tensors(output, facts.inputs, self._one_file))
            unknown = facts.record(output, {tensor.name: UNKNOWN_HASH for tensor in tensors}, {})
            metadata = {**facts.metadata(), **(metadata_of(unknown) if self._one_file else {})}
            path = self._claim.whole / output.name if several else self._claim.whole
            sink = open_sink(path, tensors, metadata, facts.shard_bytes, form_of(output, self._claim.target))
            self._outputs.append(_Output(output, tensors, small, sink))

    def _made(self, sources: Sequence[Source], keeping: Safekeeping, watch: Watcher) -> list[CheckedSink]:
        plan, done = self._facts.plan, self._sound(keeping.read_back)
        spots = {(number, one.name) for number, output in enumerate(self._outputs) for one in output.tensors}
        left = remaining(plan, done, spots - done, self._past.sweeps)
        checked = []
        for number, output in enumerate(self._outputs):
            kept = {name: self._past.tensors[number, name] for one, name in done if one == number}
            checked.append(CheckedSink(number, output.sink, output.tensors, kept, keeping))
        sinks: list[Sink] = [
            TiedSink(sink, output.planned.tied) if len(output.tensors) > len(output.planned.tensors) else sink
            for sink, output in zip(checked, self._outputs, strict=True)
        ]
        execute(left.plan, sources, sinks, watch, left.values, _journaled(plan, keeping.journal, left.stages))
        return checked

    def _sound(self, read_back: ReadBack) -> set[Spot]:
        """The tensors that the journal calls finished and whose bytes are what it says."""
        return {
            (number, name)
            for (number, name), stretches in self._past.tensors.items()
            if read_back.start(self._outputs[number].sink, name, stretches).result() is not None
        }

    def _finish(self, checked: Sequence[CheckedSink]) -> None:
        # While the disk takes what is left, what was not read again during the run is.
        syncing = Flusher(lambda: _in_turn([output.sink.sync for output in self._outputs]), now=True)
        hashes = [sink.read_back() for sink in checked]
        syncing.finish()
        for output, tensors in zip(self._outputs, hashes, strict=True):
            self._seal(output, tensors)
        target = self._claim.target
        try:
            if len(self._outputs) > 1:
                sync_folder(self._claim.whole)
            rename_new(self._claim.whole, target)
            sync_folder(target.parent)
        except FileExistsError:
            raise appeared(target) from None
        except OSError as error:
            raise write_problem(target, error) from None

    def _seal(self, output: _Output, tensors: Mapping[str, str]) -> None:
        """Finish one output with the record of its hashes: beside its weights, or in the header of its one file."""
        if isinstance(output.sink, FileSink):
            record = self._facts.record(output.planned, tensors, {})
            output.sink.describe({**self._facts.metadata(), **metadata_of(record)})
            output.sink.finish({})
        else:
            record = self._facts.record(output.planned, tensors, output.files)
            output.sink.finish({**output.files, RECORD_NAME: encode_record(record)})

    def _names(self) -> list[Path]:
        out, outputs = self._claim.target, self._facts.plan.outputs
        return [out] if len(outputs) == 1 else [out / output.name for output in outputs]

    def _abort(self) -> None:
        for output in self._outputs:
            output.sink.abort()


def _in_turn(calls: Sequence[Callable[[], None]]) -> None:
    for call in calls:
        call()


def _journaled(plan: Plan, journal: Journal, skipped: int) -> Callable[[int, Mapping[str, float]], None]:
    """Says of each finished stage what is needed to leave it out the next time."""

    def swept(number: int, values: Mapping[str, float]) -> None:
        count = skipped + number
        if count < len(plan.stages) and can_resume_after(plan.stages[:count]):
            journal.sweep(Sweep(count, stages_digest(plan, count), values))

    return swept
