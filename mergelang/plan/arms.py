"""Which arm of a match takes which tensor, and what is wrong with patterns and ranges that take none."""

from __future__ import annotations

from mergelang.graph.node import Attr, Node
from mergelang.patterns import matches, near_names, near_pattern
from mergelang.plan import fixes
from mergelang.plan.space import Space, layer_count
from mergelang.problem import Problem
from mergelang.span import Place as SourcePlace
from mergelang.span import narrowed


def chosen_arms(node: Node, space: Space, place: SourcePlace) -> dict[str, int]:
    """For every tensor of the space, the number of the arm that takes it.

    Raises `matches-nothing`, `no-such-layer`, and `never-reached` for an arm whose tensors earlier arms take.
    """
    arms = node["arms"]
    assert isinstance(arms, tuple)
    for arm in arms:
        assert isinstance(arm, tuple)
        if arm[0] == "name":
            for pattern in arm[1:]:
                check_pattern(str(pattern), space, narrowed(place, f'"{pattern}"'))
        elif arm[0] == "layers":
            _check_range(int(str(arm[1])), int(str(arm[2])), space, narrowed(place, f"{arm[1]}..{arm[2]}"))
    chosen = fitting_arms(node, space)
    for i in sorted(set(range(len(arms) - 1)) - set(chosen.values())):
        raise _never_reached(arms, i, space, place)
    return chosen


def _never_reached(arms: tuple[Attr, ...], number: int, space: Space, place: SourcePlace) -> Problem:
    texts = [_arm_text(arm) for arm in arms]
    takes = [{name for name in space.keys if _takes(arm, name, space)} for arm in arms]
    on = "name" if '"' in texts[number] else "layer"
    message = f"The arm `{texts[number]}` is never reached: the arms before it take all its tensors."
    fix = fixes.all_reached(place, texts, takes, number, on)
    return Problem("never-reached", message, narrowed(place, texts[number]), fix=fix)


def _arm_text(arm: Attr) -> str:
    """The left side of an arm, as the formatter writes it."""
    assert isinstance(arm, tuple)
    if arm[0] == "else":
        return "else"
    return f"{arm[1]}..{arm[2]}" if arm[0] == "layers" else " | ".join(f'"{pattern}"' for pattern in arm[1:])


def _check_range(first: int, last: int, space: Space, place: SourcePlace) -> None:
    """Raises `no-such-layer` for layers past the last one, `matches-nothing` for a range that holds none."""
    count = layer_count(space)
    if count and last > count:
        message = f"`{first}..{last}` goes past the last layer: the model has {count} layers, 0 to {count - 1}."
        raise Problem("no-such-layer", message, place, fix=fixes.fitting_range(first, last, count))
    if first >= last or not count:
        fix = fixes.fitting_range(first, last, count) if count else fixes.by_name(space.keys)
        raise Problem("matches-nothing", f"No tensor lies in the layers {first}..{last}.", place, fix=fix)


def fitting_arms(node: Node, space: Space) -> dict[str, int]:
    """For every tensor of any space, the number of the arm that would take it; an arm may take none."""
    arms = node["arms"]
    assert isinstance(arms, tuple)
    return {name: next(i for i, arm in enumerate(arms) if _takes(arm, name, space)) for name in space.keys}


def _takes(arm: object, name: str, space: Space) -> bool:
    assert isinstance(arm, tuple)
    if arm[0] == "else":
        return True
    if arm[0] == "layers":
        where = space.layers.get(name)
        return where is not None and int(arm[1]) <= where[1] < int(arm[2])
    return any(matches(pattern, name) for pattern in arm[1:])


def check_pattern(pattern: str, space: Space, place: SourcePlace) -> None:
    """Raises `matches-nothing` where no tensor has a name that fits."""
    if any(matches(pattern, name) for name in space.keys):
        return
    message = f'No tensor of the model has a name like "{pattern}".'
    wider_pattern = pattern.replace("**", "*").replace("*", "**")
    if wider_pattern != pattern and any(matches(wider_pattern, name) for name in space.keys):
        message += " `*` stays between two dots of a name; `**` crosses them."
        raise Problem("matches-nothing", message, place, fix=f'"{wider_pattern}"')
    tied = next((name for name in space.tied if matches(pattern, name)), None)
    if tied is not None:
        message += f" The config ties {tied} to {space.tied[tied]}: they are one tensor, which goes by the latter name."
        raise Problem("matches-nothing", message, place, fix=f'"{space.tied[tied]}"')
    near = near_names(pattern, list(space.keys))
    hint = f" Among its names are: {', '.join(near)}." if near else ""
    fix = f'"{near_pattern(pattern, space.keys)}"'
    raise Problem("matches-nothing", message + hint, place, fix=fix)
