"""What a user can cause is a Problem; what only we can cause is a Bug."""

from __future__ import annotations

from mergelang.escaped import escaped_lines
from mergelang.span import FileSpot, Place, Span

RULE_WIDTH = 78


class Problem(Exception):
    """A fault a user can mend: where it is, what is there, what is needed, and a fix to paste.

    `slug` is the stable lower-case name that `mergelang explain` expands. `message` says what is there and what is
    needed, in the user's words. `fix` is what to write or do instead. `place` is the stretch of the recipe (or the
    file) at fault; `also` holds further places that belong to the same fault (the file a `checkpoint(...)` names, the
    first use of a name).
    """

    def __init__(self, slug: str, message: str, place: Place, *, fix: str, also: tuple[Place, ...] = ()) -> None:
        super().__init__(message)
        self.slug = slug
        self.message = message
        self.place = place
        self.fix = fix
        self.also = also

    def also_at(self, place: Place) -> Problem:
        """This problem with one more place: used where a file's fault passes the line that names the file."""
        return Problem(self.slug, self.message, self.place, fix=self.fix, also=(*self.also, place))

    def render(self) -> str:
        """The whole message as plain text, ready for a terminal."""
        return escaped_lines("\n".join([*_headline(self.slug, self.place), *_body(self)]))

    def __str__(self) -> str:
        return self.render()


class Bug(Exception):
    """A fault of ours: the message asks for a report."""


def _headline(slug: str, place: Place) -> list[str]:
    head = f"── {slug} "
    return [head + "─" * max(2, RULE_WIDTH - len(head) - len(str(place)) - 1) + f" {place}", ""]


def _body(problem: Problem) -> list[str]:
    lines = [*_excerpt(problem.place), problem.message]
    for place in problem.also:
        lines += ["", f"See also {place}", *_excerpt(place)[:-1]]
    return [*lines, "", *_fix(problem.fix), "", f"`mergelang explain {problem.slug}` tells more."]


def _fix(fix: str) -> list[str]:
    if "\n" not in fix:
        return [f"Try:  {fix}"]
    return ["Try:", "", *(f"    {line}" for line in fix.split("\n"))]


def _excerpt(place: Place) -> list[str]:
    if isinstance(place, FileSpot) or not place.source.text:
        return []
    first, column = place.source.line_and_column(place.start)
    last, _ = place.source.line_and_column(max(place.start, place.end - 1))
    width = len(str(last))
    lines = []
    for number in range(first, min(last, first + 5) + 1):
        text = place.source.line(number)
        lines.append(f"{number:>{width}} | {text}")
        if first == last:
            marks = "^" * max(1, min(place.end - place.start, len(text) - column + 1))
            lines.append(" " * width + " | " + " " * (column - 1) + marks)
    return [*lines, ""]


def nothing_at(name: str) -> Span:
    """A span for a fault of the command line or of Python's arguments, which have no recipe text."""
    from mergelang.span import SourceText

    return Span(SourceText(name, ""), 0, 0)
