"""A plan run as a whole: everything is checked first, and the outputs appear complete or not at all."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mergelang import __version__
from mergelang.catalog import Checkpoint, OutTensor
from mergelang.formats.config import carried_files, shared_float_dtype
from mergelang.formats.protocols import Sink, Source
from mergelang.formats.shards import DEFAULT_SHARD_BYTES
from mergelang.plan.model import Plan, PlannedOutput
from mergelang.problem import nothing_at
from mergelang.run.card import Card, Parent, render_card
from mergelang.run.executor import execute
from mergelang.run.hashes import input_hashes
from mergelang.run.reopen import check_unchanged, open_planned
from mergelang.run.report import Recorder, RunReport
from mergelang.run.targets import check_targets, open_sink, target_paths
from mergelang.run.watch import Counter, Watcher
from mergelang.span import Place


def run_plan(
    plan: Plan,
    out: Path,
    *,
    sources: Sequence[Source] | None = None,
    shard_bytes: int = DEFAULT_SHARD_BYTES,
    watch: Watcher | None = None,
    place: Place | None = None,
    recipe_name: str = "recipe.merge",
    references: Sequence[str] = (),
) -> RunReport:
    """Runs the plan into `out`: a folder, one file (`*.safetensors`), or for several outputs a folder of folders.

    `sources` are the open inputs in the plan's order (else they are opened by its paths); they are closed at the end.
    `place` stands in the Problems about `out`. Raises `input-changed`, the Problems of `check_target` and of `execute`.
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
        facts = _Facts(plan, inputs, parents, recipe_name, references)
        _write(facts, opened, paths, shard_bytes, recorder)
    finally:
        recorder.finished()
        for source in opened:
            source.close()
    return recorder.report(tuple(paths))


class _Facts:
    """What the outputs' metadata and cards say."""

    def __init__(
        self, plan: Plan, inputs: list[Checkpoint], parents: list[Parent], recipe_name: str, references: Sequence[str]
    ) -> None:
        self.plan, self.inputs = plan, inputs
        self._parents, self._recipe_name, self._references = parents, recipe_name, references

    def metadata(self) -> dict[str, str]:
        """The strings for the weight files' headers. Without a date: a second run must write the same bytes."""
        parents = [{"input": parent.ref, "xxh3_128": parent.hash} for parent in self._parents]
        return {
            "mergelang.recipe": self.plan.recipe,
            "mergelang.digest": self.plan.digest,
            "mergelang.inputs": json.dumps(parents, ensure_ascii=False),
            "mergelang.version": __version__,
        }

    def files(self, output: PlannedOutput, path: Path) -> dict[str, bytes]:
        """The small files of an output: its template's config and tokenizer, and the card."""
        files: dict[str, bytes] = {}
        if output.template >= 0:
            tensors = [OutTensor(tensor.name, tensor.shape, tensor.dtype) for tensor in output.tensors]
            template = self.inputs[output.template]
            files = carried_files(template, shared_float_dtype(tensors), output.layers, None)
        return {**files, "README.md": self._card(output, path).encode()}

    def _card(self, output: PlannedOutput, path: Path) -> str:
        command = f"mergelang run {shlex.quote(self._recipe_name)} -o {shlex.quote(path.name)}"
        name = output.name if len(self.plan.outputs) > 1 else path.name
        plan = self.plan
        return render_card(Card(name, plan.recipe, plan.digest, self._parents, self._references, command, __version__))


def _write(facts: _Facts, sources: list[Source], paths: list[Path], shard_bytes: int, recorder: Recorder) -> None:
    plan, parent = facts.plan, paths[0].parent
    # Before the run: a config that cannot be carried over must not be found out at its end.
    files = [facts.files(output, path) for output, path in zip(plan.outputs, paths, strict=True)]
    made_folder = len(paths) > 1
    if made_folder:
        parent.mkdir()
    sinks: list[Sink] = []
    try:
        for output, path in zip(plan.outputs, paths, strict=True):
            sinks.append(open_sink(path, output, facts.inputs, facts.metadata(), shard_bytes))
        execute(plan, sources, sinks, recorder)
        for sink, small in zip(sinks, files, strict=True):
            sink.finish(small)
    except BaseException:
        for sink in sinks:
            sink.abort()
        if made_folder:
            with suppress(OSError):  # an output that was finished before stays
                parent.rmdir()
        raise
