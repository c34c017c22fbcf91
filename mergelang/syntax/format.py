"""Tree to text: one way to write each recipe, with its comments and blank lines between items where they were."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mergelang.syntax.attach import Notes, attach
from mergelang.syntax.layout import HARD, Doc, Suffix, group, indented, lay_out, row
from mergelang.syntax.print_expression import (
    WIDEST_ALIGNED,
    expression,
    parameters,
    type_suffix,
    type_text,
)
from mergelang.syntax.tree import Comment, Def, Expr, Import, Item, Knob, Law, Let, LetIn, Merge, Module

WIDTH = 100
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")
_BLANK_LINE_NEXT = re.compile(r"[^\S\n]*\n[^\S\n]*\n")


def format_module(module: Module) -> str:
    """The module's text in the one form it has; formatting that again changes nothing."""
    notes = attach(module)
    texts = _aligned(module, notes)
    lines: list[str] = []
    for index, (item, text) in enumerate(zip(module.items, texts, strict=True)):
        lines += [""] if index and _apart(module, index, texts) else []
        lines.append(_comment_lines(module, notes.before.get(id(item), [])) + text)
    if notes.at_end:
        lines += [*([""] if lines else []), _comment_lines(module, notes.at_end).rstrip("\n")]
    return "".join(f"{line}\n" for line in lines)


def format_expression(expr: Expr) -> str:
    """The expression's text, without a line break at its end."""
    return lay_out(expression(expr, Notes()), WIDTH)


def _item_text(item: Item, notes: Notes, head: int = 0) -> str:
    """One item with its doc; the part before its `=` is made `head` characters wide."""
    doc = "".join(f"## {line}".rstrip() + "\n" for line in item.doc)
    behind = (Suffix(comment.text) for comment in notes.behind.get(id(item), ()))
    return doc + lay_out(row(_item_doc(item, notes, head), *behind), WIDTH)


def _comment_lines(module: Module, comments: Sequence[Comment]) -> str:
    """Comments on lines of their own, each followed by a blank line where one followed."""
    text = module.span.source.text
    lines = []
    for comment in comments:
        blank = _BLANK_LINE_NEXT.match(text, comment.start + len(comment.text))
        lines.append(comment.text + ("\n\n" if blank else "\n"))
    return "".join(lines)


def _item_doc(item: Item, notes: Notes, head: int) -> Doc:
    match item:
        case Import(path=path, alias=alias):
            return f'import "{path}"' + (f" as {alias}" if alias else "")
        case Let(value=value):
            return row(_let_head(item).ljust(head), " =", _value(value, notes))
        case Knob(default=default):
            return row(_knob_head(item), " =", _value(default, notes))
        case Def(body=body):
            result = f" -> {type_text(item.result)}" if item.result else ""
            signature = row(f"def {item.name}", parameters(item.params, notes), f"{result} =")
            return row(signature, indented(HARD, *_before(body, notes), expression(body, notes)))
        case Law(claim=claim):
            return row(f"law {item.name}", parameters(item.params, notes), ":", _value(claim, notes))
        case Merge(value=value, name=name):
            return row("merge", _value(value, notes), f" as {name}" if name else "")


def _value(value: Expr, notes: Notes) -> Doc:
    """What stands behind the `=`: on the same line, unless comments or `let`s must come first."""
    before = _before(value, notes)
    if before or isinstance(value, LetIn):
        return indented(HARD, *before, expression(value, notes))
    return row(" ", group(expression(value, notes)))


def _before(value: Expr, notes: Notes) -> list[Doc]:
    return [part for comment in notes.before.get(id(value), ()) for part in (comment.text, HARD)]


def _let_head(item: Let) -> str:
    return f"let {item.name}{type_suffix(item.type)}"


def _knob_head(item: Knob) -> str:
    head = f"param {item.name}{type_suffix(item.type)}"
    if item.low is None or item.high is None:
        return head
    return f"{head} in {format_expression(item.low)}..{format_expression(item.high)}"


# ---- between items


def _apart(module: Module, index: int, texts: Sequence[str]) -> bool:
    """Whether a blank line stands before an item: between kinds, around what is long or documented, where one stood."""
    one, other = module.items[index - 1], module.items[index]
    long = any("\n" in texts[i] for i in (index - 1, index))
    between = module.span.source.text[one.span.end : other.span.start]
    return type(one) is not type(other) or long or _BLANK_LINE.search(between) is not None


def _aligned(module: Module, notes: Notes) -> list[str]:
    """The text of each item; the `=` of one-line `let`s that stand together are put under each other."""
    texts = [_item_text(item, notes) for item in module.items]
    start = 0
    for index in range(1, len(texts) + 1):
        if index == len(texts) or _apart(module, index, texts):
            texts[start:index] = _aligned_run(module.items[start:index], notes, texts[start:index])
            start = index
    return texts


def _aligned_run(items: Sequence[Item], notes: Notes, texts: list[str]) -> list[str]:
    heads = [len(_let_head(item)) for item in items if isinstance(item, Let)]
    if len(items) < 2 or len(heads) < len(items) or max(heads) > WIDEST_ALIGNED:
        return texts
    aligned = [_item_text(item, notes, max(heads)) for item in items]
    # Where aligning would break a line that is whole without it, nothing is aligned.
    return texts if any("\n" in text for text in aligned) else aligned
