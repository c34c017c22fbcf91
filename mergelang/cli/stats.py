"""`mergelang stats`: statistics of a model on data, as files that `statistics("...")` in a recipe takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import click

from mergelang.cli.recipes import Size

if TYPE_CHECKING:
    from mergelang.stats.statistic import Statistic
    from mergelang.stats.write import Written

Command = TypeVar("Command", bound=Callable[..., object])

DTYPES = ("F32", "BF16", "F64")
OPTIONS = (
    click.option("--model", required=True, type=click.Path(path_type=Path), help="The folder of the model."),
    click.option("--data", required=True, type=click.Path(path_type=Path), help="Texts: FILE.jsonl or FILE.txt."),
    click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="A new file, *.safetensors."),
    click.option("--text-field", default="text", show_default=True, help="Where objects of a JSONL file have texts."),
    click.option("--limit", type=click.IntRange(1), help="Take so many texts.  [default: all]"),
    click.option(
        "--length", type=click.IntRange(2), help="Cut texts into so many tokens.  [default: 512, or the model's most]"
    ),
    click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", help="Where to run.  [default: cpu]"),
    click.option(
        "--dtype",
        type=click.Choice(DTYPES, case_sensitive=False),
        default="F32",
        help="Run the model so; sums are float32, or float64 with F64.  [default: F32]",
    ),
    click.option("-q", "--quiet", is_flag=True, help="Say nothing about what is right."),
)


def data_options(command: Command) -> Command:
    """Adds the options that say which model, which data and which file."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@click.group()
def stats() -> None:
    """Take a statistic of a model on data of your own, for `statistics("...")` in a recipe.

    The model is run by transformers, from a local folder: pip install 'mergelang[stats]'.
    """


@stats.command()
@click.option(
    "--labels",
    type=click.Choice(["sampled", "data"]),
    default="sampled",
    show_default=True,
    help="Next tokens drawn from the model, or those in the data (the empirical Fisher information).",
)
@click.option("--draws", type=click.IntRange(1), default=1, show_default=True, help="Draw so many for each prefix.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="What the draws depend on.")
@data_options
def fisher(labels: Literal["sampled", "data"], draws: int, seed: int, **given: object) -> None:
    """The diagonal of the Fisher information, for `fisher`."""
    from mergelang.stats.fisher import Fisher

    if labels == "data" and (draws, seed) != (1, 0):
        raise click.UsageError("--draws and --seed are for labels that are drawn; leave out --labels data.")
    _take(Fisher(labels, draws, seed), given)


@stats.command()
@click.option("--per-token", is_flag=True, help="Divide by the number of tokens, so that models count alike.")
@click.option("--memory", type=Size(), help="The most that the matrices take; reads the data again for each part.")
@data_options
def gram(per_token: bool, memory: int | None, **given: object) -> None:
    """The Gram matrix X'X of each linear layer's inputs, for RegMean."""
    from mergelang.stats.gram import Gram

    _take(Gram(per_token, memory), given)


@stats.command()
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True, help="Sequences of a training step.")
@click.option(
    "--beta",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.999,
    show_default=True,
    help="Adam's second beta: how much each step keeps of those before it.",
)
@data_options
def moments(batch: int, beta: float, **given: object) -> None:
    """Adam's second moments, for OTA merging and Fast Fisher Grafting."""
    from mergelang.stats.moments import Moments

    _take(Moments(batch, beta), given)


def _take(statistic: Statistic, given: dict[str, object]) -> None:
    import sys

    from mergelang.stats.collect import collect, request_of
    from mergelang.stats.progress import shown

    request = request_of(given)
    with shown(sys.stderr, statistic.name) as watch:
        written = collect(statistic, request, watch)
    if not given["quiet"]:
        click.echo(f"{request.out}: {_words(written)}")


def _words(written: Written) -> str:
    from mergelang.inspect import size

    unused = written.tensors - written.with_values
    none = f", {unused} of them 0, as the model does not use {'it' if unused == 1 else 'them'}," * bool(unused)
    tally = written.tally
    texts = f"{tally.documents:,} text{'s' * (tally.documents != 1)}"
    return f"{written.tensors} tensors ({size(written.nbytes)}){none} from {texts}, {tally.tokens:,} tokens"
