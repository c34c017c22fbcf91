"""What could have stood where reading stopped, in plain words: terminal names never reach a user."""

from __future__ import annotations

from mergelang.syntax.failure import END, Failure

# Terminals that only ever come together are told as one thing.
_GROUPS = (
    (frozenset(["NAME", "INT", "STRING", "MATCH"]), "a value", frozenset([
        "NAME", "DOTTED", "INT", "NUMBER", "PERCENT", "STRING", "MATCH", "LPAR", "LSQB", "MINUS", "NOT", "IF", "LET",
    ])),
    (frozenset(["PLUS", "STAR"]), "an operator", frozenset([
        "PLUS", "MINUS", "STAR", "SLASH", "POWER", "COMPARE", "AND", "OR", "LSQB",
    ])),
    (frozenset(["MERGE", "DEF"]), "the next item", frozenset([
        "MERGE", "DEF", "LET", "LAW", "PARAM", "IMPORT", "DOC",
    ])),
    (frozenset(["INT", "NUMBER"]), "a number", frozenset(["INT", "NUMBER", "PERCENT", "MINUS"])),
)  # fmt: skip
_WORDS = {
    "NAME": "a name", "DOTTED": "a name", "INT": "a whole number", "NUMBER": "a number", "PERCENT": "a number",
    "STRING": "a text in quotes", "DOC": "a description", "COMPARE": "a comparison", END: "the end",
}  # fmt: skip


def expected(failure: Failure) -> str:
    """The things that may follow, joined by commas and `or`."""
    left, phrases = failure.accepts(), list[str]()
    for signs, phrase, members in _GROUPS:
        if signs <= left:
            phrases.append(phrase)
            left = left - members
    phrases += sorted({_WORDS.get(name) or f"`{failure.spelling.get(name, name)}`" for name in left})
    if not phrases:
        return "something else"
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} or {phrases[-1]}"
