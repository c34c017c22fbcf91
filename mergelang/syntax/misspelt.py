"""The word that an item was meant to open with, where a name that is nearly one stands in its place."""

from __future__ import annotations

from difflib import get_close_matches

from mergelang.syntax.build import Piece

_NAME, _VALUE = ("NAME",), ("NAME", "DOTTED", "INT", "NUMBER", "PERCENT", "STRING", "LPAR", "LSQB", "MATCH", "IF")
_GIVES = ("EQUAL", "COLON", "IN")
# What may come behind each word, as the kinds of the next pieces.
_FOLLOWED_BY = {
    "let": (_NAME, _GIVES),
    "param": (_NAME, _GIVES),
    "def": (_NAME, ("LPAR",)),
    "law": (_NAME, ("LPAR",)),
    "import": (("STRING",),),
    "merge": (_VALUE,),
}
_ENDS_A_VALUE = ("NAME", "DOTTED", "INT", "NUMBER", "PERCENT", "STRING", "RPAR", "RSQB", "RBRACE")
_DEPTH = {"LPAR": 1, "LSQB": 1, "LBRACE": 1, "RPAR": -1, "RSQB": -1, "RBRACE": -1}


def meant_word(pieces: tuple[Piece, ...], index: int) -> str:
    """The word that the piece is meant as; nothing where it is no name, or where no item can open."""
    if not _may_open(pieces, index):
        return ""
    suits = [word for word, kinds in _FOLLOWED_BY.items() if _suits(pieces[index + 1 :], kinds)]
    # Nothing but an item gives a name, so where one is given any word is meant as some word of the language.
    otherwise = "let" if "let" in suits else ""
    return next(iter(get_close_matches(pieces[index].text.lower(), suits, n=1, cutoff=0.65)), otherwise)


def _may_open(pieces: tuple[Piece, ...], index: int) -> bool:
    if index < 0 or pieces[index].kind != "NAME" or sum(_DEPTH.get(piece.kind, 0) for piece in pieces[:index]) > 0:
        return False
    return index == 0 or pieces[index - 1].kind in (*_ENDS_A_VALUE, "DOC")


def _suits(following: tuple[Piece, ...], kinds: tuple[tuple[str, ...], ...]) -> bool:
    return len(following) >= len(kinds) and all(
        piece.kind in allowed for piece, allowed in zip(following, kinds, strict=False)
    )
