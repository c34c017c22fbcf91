"""An input held to its lock while it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mergelang.catalog import Checkpoint, TensorInfo
from mergelang.formats.protocols import Source
from mergelang.plan.model import Plan
from mergelang.problem import Problem
from mergelang.run.hashes import Running, running_hash
from mergelang.run.lock import Lock, LockedFile, LockedInput, again, locked_paths, stored_hash, stored_tensors
from mergelang.span import FileSpot

_BLOCK = 1 << 20  # what is hashed is still in the cache


@dataclass(slots=True)
class _Reading:
    """The hash of a tensor's bytes up to `end`."""

    state: Running
    end: int = 0


class LockedSource:
    """A Source that reads ahead what it is told will be read, hashes it, and compares each whole tensor with the lock.

    Raises `locked-input-changed` when the end of a tensor is announced which is not what was locked.
    """

    def __init__(self, source: Source, locked: LockedInput, lock_file: Path) -> None:
        self.checkpoint: Checkpoint = source.checkpoint
        self._source, self._lock_file = source, lock_file
        self._locked = {file.name: file for file in locked.files}
        self._files = [self._locked[Path(info.path).name] for info in source.checkpoint.files]
        self._reading: dict[str, _Reading] = {}
        self._checked: set[tuple[str, str]] = set()  # files and what of them
        self._ending = False
        self._buffer = memoryview(bytearray(_BLOCK))

    def read_into(self, name: str, start: int, buffer: memoryview) -> None:
        """Fill `buffer` with the bytes of tensor `name` from its byte `start` on. Safe to call from several threads."""
        self._source.read_into(name, start, buffer)

    def announce(self, name: str, start: int, count: int) -> None:
        """Read and hash these bytes if they go on where the last ones ended, so that they are at hand as well."""
        tensor, reading = self.checkpoint.tensors[name], self._reading.setdefault(name, _Reading(running_hash()))
        if not self._is_hashed(tensor) or not start == reading.end < tensor.nbytes:
            self._source.announce(name, start, count)
            return
        self._read_on(reading, name, count)
        if reading.end == tensor.nbytes:
            path = self.checkpoint.files[tensor.file].path
            self._compare(tensor, path, self._files[tensor.file], reading.state.hexdigest())

    def check_ties(self) -> None:
        self._source.check_ties()

    def close(self) -> None:
        """Close the files, and stop checking."""
        self._ending = True
        self._source.close()

    def check_others(self, read: set[str]) -> None:
        """Check every tensor of the files that is not in `read`, apart from the reading of the run."""
        for path in locked_paths(self.checkpoint):
            for tensor in stored_tensors(path):
                if self._ending:
                    return
                if tensor.name not in read and (path, tensor.name) not in self._checked:
                    self._compare(tensor, path, self._locked[Path(path).name], stored_hash(path, tensor))

    def _is_hashed(self, tensor: TensorInfo) -> bool:
        """Whether the lock knows the tensor; an adapter's are made of factors, and some files are hashed whole."""
        return self.checkpoint.kind != "adapter" and tensor.name in self._files[tensor.file].tensors

    def _read_on(self, reading: _Reading, name: str, count: int) -> None:
        for done in range(0, count, _BLOCK):
            part = self._buffer[: min(_BLOCK, count - done)]
            self._source.read_into(name, reading.end, part)
            reading.state.update(part)
            reading.end += part.nbytes

    def _compare(self, tensor: TensorInfo, path: str, locked: LockedFile, found: str) -> None:
        if locked.tensors.get(tensor.name) != found:
            raise _changed(
                f'"{tensor.name}" holds other bytes', self.checkpoint.ref, path, tensor.name, self._lock_file
            )
        self._checked.add((path, tensor.name))


class LockCheck:
    """The inputs of a run held to a lock: while they are read, and what the run does not read beside that."""

    def __init__(self, sources: Sequence[Source], lock: Lock, lock_file: Path) -> None:
        """Raises `lock-out-of-date` or, for what the headers tell, `locked-input-changed`."""
        _check_inputs(sources, lock, lock_file)
        self.sources = [LockedSource(*pair, lock_file) for pair in zip(sources, lock.inputs, strict=True)]
        self._pool = ThreadPoolExecutor(1, "mergelang lock")
        self._others: list[Future[None]] = []

    def start(self, plan: Plan) -> None:
        """Begin to check what the plan does not read."""
        read = read_tensors(plan)
        for number, source in enumerate(self.sources):
            self._others.append(self._pool.submit(source.check_others, read.get(number, set())))

    def finish(self) -> None:
        """Check what is left. Raises `locked-input-changed`."""
        for other in self._others:
            other.result()
        for source in self.sources:
            source.check_others(set())

    def close(self) -> None:
        """Stop checking; waits for the tensor at hand."""
        for source in self.sources:
            with suppress(Exception):
                source.close()
        self._pool.shutdown(cancel_futures=True)


def read_tensors(plan: Plan) -> Mapping[int, set[str]]:
    """The names of the tensors that a plan reads of each input that is no adapter."""
    read: dict[int, set[str]] = {}
    for stage in plan.stages:
        leaves = [leaf for task in stage.tasks for leaf in task.leaves]
        leaves += [leaf for copy in stage.copies for leaf in (copy.leaf, *copy.same)]
        for leaf in leaves:
            if plan.inputs[leaf.input].kind != "adapter":
                read.setdefault(leaf.input, set()).add(leaf.tensor)
    return read


def _check_inputs(sources: Sequence[Source], lock: Lock, lock_file: Path) -> None:
    """What needs no weights: the inputs' names, their files, and the tensors in these."""
    refs = [source.checkpoint.ref for source in sources]
    if refs != [one.input for one in lock.inputs]:
        listed = ", ".join(f"`{one.input}`" for one in lock.inputs)
        message = f"The lock is of other inputs ({listed}) than the recipe has now, so it cannot vouch for them."
        raise Problem("lock-out-of-date", message, FileSpot(str(lock_file)), fix=again(lock_file))
    for source, locked in zip(sources, lock.inputs, strict=True):
        _check_files(source.checkpoint, locked, lock_file)


def _check_files(checkpoint: Checkpoint, locked: LockedInput, lock_file: Path) -> None:
    files = {file.name: file for file in locked.files}
    here = {Path(path).name: path for path in locked_paths(checkpoint)}
    for name in sorted(files.keys() ^ here.keys()):
        what = f"the file {name} " + ("is missing" if name in files else "has been added")
        raise _changed(what, checkpoint.ref, checkpoint.path, name, lock_file)
    for name, path in here.items():
        tensors = {tensor.name for tensor in stored_tensors(path)}
        for tensor in sorted(tensors ^ files[name].tensors.keys()):
            what = f'"{tensor}" ' + ("is missing" if tensor not in tensors else "has been added")
            raise _changed(what, checkpoint.ref, path, tensor, lock_file)


def _changed(what: str, ref: str, path: str, part: str, lock_file: Path) -> Problem:
    message = f"The input `{ref}` is not what it was when the recipe was locked: {what}."
    fix = f"get the file of that time, or lock what is there now: {again(lock_file)}"
    return Problem("locked-input-changed", message, FileSpot(path, part), fix=fix, also=(FileSpot(str(lock_file)),))
