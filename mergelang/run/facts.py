"""What the outputs of a run say of themselves: metadata, card, config and record."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mergelang import __version__
from mergelang.catalog import Checkpoint, OutTensor
from mergelang.formats.adapter_config import CONFIG_NAME
from mergelang.formats.adapter_files import adapter_config
from mergelang.formats.config import carried_files, shared_float_dtype
from mergelang.formats.ties import tie_after
from mergelang.plan.model import Plan, PlannedOutput
from mergelang.run.card import Card, Parent, render_card
from mergelang.run.record import Asked, Record, record_of


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a run before it starts."""

    plan: Plan
    inputs: Sequence[Checkpoint]
    parents: Sequence[Parent]
    recipe_name: str
    asked: Asked
    shard_bytes: int

    def metadata(self) -> dict[str, str]:
        """The strings for the weight files' headers. Without a date: a second run must write the same bytes."""
        parents = [{"input": parent.ref, "xxh3_128": parent.hash} for parent in self.parents]
        return {
            "mergelang.recipe": self.plan.recipe,
            "mergelang.digest": self.plan.digest,
            "mergelang.inputs": json.dumps(parents, ensure_ascii=False),
            "mergelang.version": __version__,
        }

    def files(self, output: PlannedOutput, path: Path) -> dict[str, bytes]:
        """The small files of an output: its template's config and tokenizer or an adapter's config, and the card."""
        files: dict[str, bytes] = {}
        tensors = [OutTensor(tensor.name, tensor.shape, tensor.dtype) for tensor in output.tensors]
        if (adapter := output.adapter) is not None:
            files = {CONFIG_NAME: adapter_config(tensors, adapter.model, adapter.transposed)}
        elif output.template >= 0:
            template = self.inputs[output.template]
            before = {name: info.shape for name, info in template.tensors.items()}
            tied = tie_after(before, {tensor.name: tensor.shape for tensor in tensors})
            files = carried_files(template, shared_float_dtype(tensors), output.layers, tied, output.config)
        return {**files, "README.md": self._card(output, path).encode()}

    def record(self, output: PlannedOutput, tensors: Mapping[str, str], files: Mapping[str, bytes]) -> Record:
        """The record of an output whose tensors have these hashes."""
        return record_of(self.plan, output, self.parents, self.asked, self.shard_bytes, tensors, files)

    def command(self, out: str) -> str:
        """What a shell takes to make the output `out`."""
        settings = "".join(f" --set {shlex.quote(f'{name}={value}')}" for name, value in self.asked.settings)
        dtype = f" --dtype {self.asked.dtype}" if self.asked.dtype else ""
        kernels = f" --kernels {self.plan.budget.kernels}" if self.plan.budget.kernels else ""
        return f"mergelang run {shlex.quote(self.recipe_name)} -o {shlex.quote(out)}{settings}{dtype}{kernels}"

    def _card(self, output: PlannedOutput, path: Path) -> str:
        name = output.name if len(self.plan.outputs) > 1 else path.name
        plan = self.plan
        command = self.command(path.name)
        return render_card(Card(name, plan.recipe, plan.digest, self.parents, plan.references, command, __version__))
