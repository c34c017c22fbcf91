"""The files that a recipe imports: found beside it, read, and never in a circle."""

from __future__ import annotations

from pathlib import Path

from mergelang.lower.near import did_you_mean, nearest
from mergelang.problem import Problem
from mergelang.recipe_text import read_recipe
from mergelang.span import SourceText
from mergelang.syntax import tree
from mergelang.syntax.parse import parse


def imported_names(module: tree.Module, folder: Path, importing: tuple[Path, ...]) -> set[str]:
    """The lets and params of the files that a module imports, as the module calls them."""
    names: set[str] = set()
    for item in module.items:
        if isinstance(item, tree.Import):
            path, inner = imported(item, folder, importing)
            own = {i.name for i in inner.items if isinstance(i, tree.Let | tree.Knob)}
            below = imported_names(inner, path.parent, (*importing, path))
            names |= {prefix(item) + name for name in own | below}
    return names


def prefix(item: tree.Import) -> str:
    """What stands before every name of the imported file."""
    return f"{item.alias}." if item.alias else ""


def imported(item: tree.Import, folder: Path, importing: tuple[Path, ...]) -> tuple[Path, tree.Module]:
    """An imported file and its items. Raises Problem `import-circle`, `import-not-found` or `unreadable-recipe`."""
    path = (folder / item.path).expanduser().resolve()
    if path in importing:
        message = f"`{item.path}` imports itself, by way of what it imports. What both use can stand in a third file."
        raise Problem("import-circle", message, item.span, fix=_import_of(item, "shared.merge"))
    if path.is_dir():
        message = f"`{item.path}` is a folder, and an import names a file in it."
        inside = Path(item.path) / next(iter(_recipes(path)), "methods.merge")
        raise Problem("import-not-found", message, item.span, fix=_import_of(item, str(inside)))
    if not path.is_file():
        beside = _recipes(path.parent) if path.parent.is_dir() else []
        message = f"There is no file `{item.path}` beside this recipe.{did_you_mean(path.name, beside)}"
        found = Path(item.path).parent / (nearest(path.name, beside) or Path("path/to") / path.name)
        raise Problem("import-not-found", message, item.span, fix=_import_of(item, str(found)))
    return path, parse(SourceText(item.path, _text(item, path)))


def _text(item: tree.Import, path: Path) -> str:
    try:
        return read_recipe(path)
    except Problem as fault:
        raise fault.also_at(item.span) from None


def _recipes(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.merge"))


def _import_of(item: tree.Import, path: str) -> str:
    return f'import "{path}"' + (f" as {item.alias}" if item.alias else "")
