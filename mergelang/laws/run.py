"""Every law of a file, one after another, with Hypothesis drawing and shrinking the examples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mergelang.laws.verdict import Verdict
from mergelang.lower.library import stdlib_index
from mergelang.pipeline import deep_recursion
from mergelang.recipe_text import read_recipe
from mergelang.span import SourceText
from mergelang.syntax.parse import parse
from mergelang.syntax.tree import Law, Module

EXAMPLES = 100


def run_laws(subject: str | Path, examples: int = EXAMPLES, seed: int = 0) -> list[Verdict]:
    """A verdict on every law of a file, of a text that holds laws, or of the file that defines a library method.

    Raises the Problems of the file; a Problem that only some values cause counts against the law.
    """
    return list(verdicts(subject, examples, seed))


def verdicts(subject: str | Path, examples: int = EXAMPLES, seed: int = 0) -> Iterator[Verdict]:
    """The verdicts of `run_laws`, each as soon as it is known."""
    source, folder = _source(subject)
    with deep_recursion():
        module = parse(source)
        for item in module.items:
            if isinstance(item, Law):
                yield _verdict(module, folder, item, examples, seed)


def _verdict(module: Module, folder: Path, law: Law, examples: int, seed: int) -> Verdict:
    # Late, so that a file without laws needs neither torch nor Hypothesis.
    from mergelang.laws.search import smallest
    from mergelang.laws.trials import Trials

    trials = Trials(module, folder, law)
    found = smallest(law, trials.against, examples, seed)
    return Verdict(law.name, " ".join(law.claim.span.text.split()), trials.count, found)


def _source(subject: str | Path) -> tuple[SourceText, Path]:
    if isinstance(subject, str) and subject in stdlib_index():
        path = stdlib_index()[subject]
        return SourceText(f"stdlib/{path.name}", read_recipe(path)), path.parent
    if isinstance(subject, str) and ("law " in subject or "\n" in subject):
        return SourceText("<laws>", subject), Path.cwd()
    return SourceText(str(subject), read_recipe(Path(subject))), Path(subject).parent
