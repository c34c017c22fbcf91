"""The architecture's borders, read from the imports: who may know whom, and which door each dependency comes in by."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "mergelang"

# The only places that may import a library, as module prefixes.
DOORS = {
    "lark": ("mergelang.syntax.parse",),
    "networkx": ("mergelang.graph", "mergelang.plan"),
    "torch": ("mergelang.backends", "mergelang.formats", "mergelang.run", "mergelang.laws", "mergelang.stats"),
    "llvmlite": (
        "mergelang.backends.ir_formulas",
        "mergelang.backends.ir_loop",
        "mergelang.backends.ir_count",
        "mergelang.backends.ir_stretch",
        "mergelang.backends.ir_total",
        "mergelang.backends.ir_row",
        "mergelang.backends.ir_vectors",
        "mergelang.backends.ir_rank",
        "mergelang.backends.ir_counting",
        "mergelang.backends.ir_bracket",
        "mergelang.backends.machine_code",
    ),
    "safetensors": ("mergelang.formats",),
    "click": ("mergelang.cli",),
    "hypothesis": ("mergelang.laws",),
    "huggingface_hub": ("mergelang.formats.hub",),
    "xxhash": ("mergelang.run.hashes", "mergelang.formats"),
    "transformers": ("mergelang.stats.load",),
    "yaml": (),
}

# What a package may import of mergelang, beside itself and WORDS. Only the lowering knows both the tree and the
# graph, and only the run knows both kernels and files.
WORDS = ("mergelang.problem", "mergelang.span", "mergelang.escaped", "mergelang.resources")
FACTS = ("mergelang.catalog", "mergelang.layers", "mergelang.patterns", "mergelang.scalars")
MAY_KNOW = {
    "syntax": (),
    "graph": (),
    "passes": ("mergelang.graph",),
    "lower": ("mergelang.syntax", "mergelang.graph", "mergelang.recipe_text"),
    "plan": ("mergelang.graph", *FACTS),
    "backends": (
        "mergelang.plan.model",
        "mergelang.plan.grid",
        "mergelang.plan.loops",
        "mergelang.__version__",
        *FACTS,
    ),
    "formats": FACTS,
    "run": ("mergelang.plan", "mergelang.backends", "mergelang.formats", "mergelang.__version__", *FACTS),
    "stats": (
        "mergelang.formats",
        "mergelang.run.hashes",
        "mergelang.backends.device",
        "mergelang.__version__",
        *FACTS,
    ),
}

# Modules that make the compiler; importing them must not cost the two seconds of torch.
WITHOUT_TORCH = ("mergelang", "mergelang.pipeline", "mergelang.plan.build", "mergelang.plan.model", "mergelang.cli")


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path) -> Iterator[str]:
    """The dotted names that a file imports, wherever in it; what serves types only is left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {id(inner) for node in ast.walk(tree) if _is_type_checking(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def lies_in(name: str, places: tuple[str, ...]) -> bool:
    return any(name == place or name.startswith(place + ".") for place in places)


MODULES = modules()
IMPORTS = {module: sorted(set(imports(path))) for module, path in MODULES.items()}


def test_there_is_something_to_hold() -> None:
    assert {module.split(".")[1] for module in MODULES if module.count(".")} >= MAY_KNOW.keys()
    assert "lark.Lark" in IMPORTS["mergelang.syntax.parse"]


@pytest.mark.parametrize("library", DOORS)
def test_a_dependency_comes_in_by_its_door(library: str) -> None:
    users = {module for module, names in IMPORTS.items() if any(lies_in(name, (library,)) for name in names)}
    assert {module for module in users if not lies_in(module, DOORS[library])} == set()


@pytest.mark.parametrize("package", MAY_KNOW)
def test_a_package_knows_its_neighbours_only(package: str) -> None:
    allowed = (f"mergelang.{package}", *WORDS, *MAY_KNOW[package])
    strangers = [
        f"{module} imports {name}"
        for module, names in IMPORTS.items()
        if lies_in(module, (f"mergelang.{package}",))
        for name in names
        if lies_in(name, ("mergelang",)) and not lies_in(name, allowed)
    ]
    assert strangers == []


def test_nothing_beneath_the_command_line_knows_it() -> None:
    users = {module for module, names in IMPORTS.items() if any(lies_in(name, ("mergelang.cli",)) for name in names)}
    assert {module for module in users if not lies_in(module, ("mergelang.cli", "mergelang.__main__"))} == set()


def test_only_its_command_knows_the_statistics() -> None:
    users = {module for module, names in IMPORTS.items() if any(lies_in(name, ("mergelang.stats",)) for name in names)}
    assert {module for module in users if not lies_in(module, ("mergelang.stats", "mergelang.cli.stats"))} == set()


def test_the_command_line_computes_nothing() -> None:
    """Commands speak to the pipeline, to problems, and to the one module that does a command's work."""
    kernels = ("mergelang.backends", "mergelang.passes", "mergelang.lower", "torch", "numpy")
    found = {
        f"{module} imports {name}"
        for module, names in IMPORTS.items()
        if lies_in(module, ("mergelang.cli",))
        for name in names
        if lies_in(name, kernels)
    }
    assert found == set()


def part_of(module: str) -> str:
    """The package that a module lies in, or the module where it lies in none."""
    return ".".join(module.split(".")[:2])


def test_packages_build_on_each_other_without_a_circle() -> None:
    """At the top of files, where a circle decides which import comes first; inside functions it does no harm."""
    edges: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        others = {part_of(other) for other in top_level(path) & MODULES.keys()}
        edges.setdefault(part_of(module), set()).update(others - {part_of(module), "mergelang"})
    done: set[str] = set()

    def walk(part: str, above: tuple[str, ...]) -> None:
        assert part not in above, f"imports run in a circle: {' -> '.join((*above, part))}"
        if part not in done:
            for other in sorted(edges[part]):
                walk(other, (*above, part))
            done.add(part)

    for part in sorted(edges):
        walk(part, ())


def top_level(path: Path) -> set[str]:
    """The modules of this package that a file imports while it is loaded."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.update({f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys() or {str(node.module)})
    return found


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_the_compiler_loads_without_torch(module: str) -> None:
    code = f"import sys, {module}; print(sorted(set(sys.modules) & {{'torch', 'hypothesis', 'transformers'}}))"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_a_recipe_compiles_and_plans_where_torch_is_not_installed() -> None:
    code = """
import sys
sys.modules["torch"] = None  # importing it fails
from mergelang.catalog import Checkpoint, FileInfo, TensorInfo
from mergelang.pipeline import compile_text, plan
def checkpoint(name):
    info = TensorInfo("model.layers.0.w", (8, 8), "F32", 0, 0)
    return Checkpoint(name, "file", name, (FileInfo(name, 256, ""),), {info.name: info})
text = 'let a = checkpoint("a")\\nlet b = checkpoint("b")\\nmerge ties([b - a]) + lines(a)'
print(plan(compile_text(text), [checkpoint("a"), checkpoint("b")]).costs.sweeps)
"""
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (shown.stdout.strip(), shown.stderr) == ("3", "")
