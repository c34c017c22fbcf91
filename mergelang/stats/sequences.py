"""The data as sequences of tokens, and how far they have been read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from mergelang.problem import Problem
from mergelang.span import FileSpot
from mergelang.stats.documents import Data, Document, documents

# A token is predicted from those before it, so a sequence of one token predicts nothing.
LEAST_TOKENS = 2


@dataclass(frozen=True, slots=True)
class Sequence:
    """A stretch of a document's tokens, and where the document stands."""

    tokens: tuple[int, ...]
    place: FileSpot


@dataclass(slots=True)
class Tally:
    """What one pass over the data has read so far; `share` is the part of the data that lies behind it, 0..1."""

    documents: int = 0
    sequences: int = 0
    tokens: int = 0
    share: float = 0.0


@dataclass(slots=True)
class Reading:
    """The data cut into sequences of at most `length` tokens, read anew for each pass.

    `tokens_of` is the tokenizer, `vocabulary` how many tokens the model knows, and `watch` is told of each document.
    """

    data: Data
    length: int
    tokens_of: Callable[[str], list[int]]
    vocabulary: int
    watch: Callable[[Tally], None]
    tally: Tally = field(default_factory=Tally)

    def sequences(self) -> Iterator[Sequence]:
        """All sequences in order, but those of one token. Raises `empty-data` where none is left."""
        self.tally = Tally()
        for document in documents(self.data):
            tokens = self._tokens(document)
            for start in range(0, len(tokens) - LEAST_TOKENS + 1, self.length):
                piece = tokens[start : start + self.length]
                self.tally.sequences += 1
                self.tally.tokens += len(piece)
                yield Sequence(tuple(piece), document.place)
            self._passed(document)
        if not self.tally.sequences:
            raise _empty(self.data, self.tally.documents)

    def batches(self, size: int) -> Iterator[list[Sequence]]:
        """The sequences, so many at a time; the last batch takes what is left."""
        sequences = self.sequences()
        while batch := list(islice(sequences, size)):
            yield batch

    def _tokens(self, document: Document) -> list[int]:
        tokens = self.tokens_of(document.text)
        if tokens and max(tokens) >= self.vocabulary:
            message = (
                f"The tokenizer makes token {max(tokens):,} of this text, and the model knows {self.vocabulary:,}."
            )
            fix = "cp BASE/tokenizer* MODEL/   # the tokenizer that the model was trained with"
            raise Problem("tokenizer-does-not-fit", message, document.place, fix=fix)
        return tokens

    def _passed(self, document: Document) -> None:
        self.tally.documents += 1
        limit = self.data.limit
        by_limit = self.tally.documents / limit if limit else 0.0
        self.tally.share = max(by_limit, document.end / self.data.path.stat().st_size)
        self.watch(self.tally)


def _empty(data: Data, count: int) -> Problem:
    there = f"{count} text{'s' * (count != 1)}, none of two tokens or more" if count else "no text"
    message = f"The data holds {there}, and a statistic needs texts from which a token can be predicted."
    return Problem("empty-data", message, FileSpot(str(data.path)), fix="--data TEXTS.jsonl")
