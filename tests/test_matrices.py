"""The claim: linear algebra in recipes is that of whole tensors, and total, whatever the threads and the memory."""

from __future__ import annotations

import pytest
import torch
import toy
from end_to_end import Weights, tensors
from oracle import evaluate

import mergelang as ml
from mergelang.plan.build import Request
from mergelang.plan.footprint import MOST_TEMPS, block_bytes
from mergelang.plan.memory import least_memory
from mergelang.plan.model import Budget, Plan
from mergelang.problem import Problem
from mergelang.run.in_memory import run_in_memory

ROUNDING = 1e-12  # float64, on values near 1 and small matrices of good condition
F64, F32 = Request(precision="F64", dtype="F64"), Request(precision="F32", dtype="F64")
SHAPES: dict[str, toy.Shape] = {
    "embed.weight": (12, 4),
    "layers.0.mlp.weight": (3, 5),
    "layers.0.norm.weight": (5,),
    "layers.1.conv.weight": (2, 3, 4),
    "head.weight": (6, 6),
}

# Recipes over base, a and b that use every operation on matrices.
RECIPES = {
    "decomposed and put together": """
        let x = a - base
        merge base + product(left_vectors(x) * singular_values(x), transpose(right_vectors(x)))""",
    "the flat spectrum of a sum": """
        let x = a + b - 2 * base
        merge base + mean(singular_values(x), per = tensor) * product(left_vectors(x), transpose(right_vectors(x)))""",
    "leading directions of two tasks side by side": """
        let tasks = [a, b] - base
        let kept = floor(size(singular_values(tasks[0]), per = tensor) / 2)
        let left = beside(leading(kept, left_vectors(tasks)))
        let values = beside(leading(kept, singular_values(tasks)))
        let right = beside(leading(kept, right_vectors(tasks)))
        merge base + product(left * values, transpose(right))""",
    "trimmed over the model in a common basis": """
        let tasks = [a, b] - base
        let basis = left_vectors(beside(tasks))
        merge base + product(basis, ties(density = 30%, product(transpose(basis), tasks)))""",
    "as many directions as hold half of the spectrum": """
        let x = a - base
        let values = singular_values(x)
        let kept = cumulate(values) <= sum(values, per = tensor) / 2
        merge base + product(left_vectors(x) * values * kept, transpose(right_vectors(x)))""",
    "statistics of factors": """
        let x = a - base
        let size = largest(singular_values(x), per = model) / largest(abs(x), per = layer)
        merge base + size * order(1, singular_values(x), per = tensor) / norm(transpose(x)) * x""",
    "as many directions as the weights say": """
        let x = a - base
        let values = singular_values(x)
        let kept = cumulate(1 + 0 * raw(values)) <= floor(3 * mean(x > 0, per = tensor))
        merge base + compose(left_vectors(x) * kept, values, right_vectors(x))""",
    "the changes that make one task of the other": """
        let x = a - base
        let onto = product(x, transpose(x)) + identity(product(x, transpose(x))) * norm(x)^2
        merge base + product(x, solve(x, b - base)) + solve(onto, x) * norm(x)^2""",
    "by columns that are upright": """
        let x = a - base
        let both = orthonormal(beside([raw(x), 2 * raw(x), raw(b - base)]))
        merge base + product(orthonormal(x), triangle(x)) + product(both, product(transpose(both), x))""",
    "by eigenvectors": """
        let x = a - base
        let onto = product(x, transpose(raw(b - base)))
        let turn = eigenvectors(onto)
        merge base + product(turn * (eigenvalues(onto) > 0), product(transpose(turn), x)) + product(raw(onto), x)""",
    "the longest columns first": """
        let x = a - base
        let keys = floor(2 * norm(per = column, raw(b - base)))
        let front = leading(2, arrange(-keys, x))
        let back = arrange(arrange(keys, column_numbers(x)), x)
        merge base + product(product(raw(front), transpose(raw(front))), x) + back""",
    "the means of clusters": """
        let x = a - base
        let members = kmeans(2, x)
        merge base + product(cluster_means(members, x), transpose(members))""",
    "clusters that begin by chance": """
        let x = a - base
        let members = kmeans(centres = drawn_apart(2, raw(x)), 2, raw(x))
        merge base + product(x, product(members, transpose(kmeans(2, x))))""",
    "below each other and in a pile": """
        let x = a - base
        let twice = above([x, b - base])
        merge base + product(product(raw(x), transpose(raw(pile([x, x])))), twice)""",
    "by the number of dimensions": """
        let x = a - base
        merge base + (if dimensions == 2 then product(product(raw(x), transpose(raw(b - base))), x) else x / 2)""",
    "only some tensors": """
        let x = match name { "head.*" => a - base, else => 0 }
        merge base + product(left_vectors(x) * singular_values(x), transpose(right_vectors(x)))""",
}


def models(seed: int = 0) -> dict[str, Weights]:
    return dict(zip(("base", "a", "b"), toy.family(SHAPES, seed), strict=True))


def expected(recipe: ml.Recipe, given: dict[str, Weights]) -> Weights:
    written = recipe.compiled.written
    (values,) = evaluate(written, [given[one.ref] for one in written.inputs])
    return values


def steps(plan: Plan) -> list[str]:
    return [step.op for program in plan.programs for phase in program.phases for step in phase.steps]


@pytest.mark.parametrize("name", RECIPES)
def test_a_run_gives_what_the_oracle_does(name: str) -> None:
    given = models()
    recipe = ml.compile(RECIPES[name], **given)
    wanted = expected(recipe, given)
    for request, tolerance in ((F64, ROUNDING), (F32, 1e-5)):
        (made,) = recipe.tensors(request).values()
        for key, value in wanted.items():
            torch.testing.assert_close(made[key], value.double(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", RECIPES)
def test_threads_blocks_and_memory_change_no_bit(name: str) -> None:
    given = models()
    budgets = [Budget(), Budget(threads=1, block=1), Budget(threads=4, block=1 << 20), Budget(threads=3, block=65536)]
    first, *others = (tensors(RECIPES[name], given, Request(dtype="F64", budget=budget)) for budget in budgets)
    for other in others:
        assert all(torch.equal(value, other[key]) for key, value in first.items())


def test_one_decomposition_serves_all_that_is_made_of_it() -> None:
    recipe = ml.compile(RECIPES["the flat spectrum of a sum"], **models())
    plan = recipe.plan()
    assert steps(plan).count("svd") == len(SHAPES)
    assert all(len(program.phases) == 1 for program in plan.programs)


def test_what_is_not_chosen_is_not_decomposed() -> None:
    text = "merge base + (if dimensions == 3 then product(left_vectors(a - base), transpose(a - base)) else 0) * 0"
    with pytest.raises(Problem, match="as many columns"):
        ml.compile(text, **models()).plan()
    text = "merge base + (if dimensions == 3 then polar(a - base) * norm(a - base) else a - base)"
    plan = ml.compile(text, **models()).plan()
    assert steps(plan).count("svd") == 1


def test_linear_algebra_is_done_in_float64_unless_another_precision_is_asked_for() -> None:
    recipe = ml.compile(RECIPES["the flat spectrum of a sum"], **models())
    assert recipe.plan().precision == "F64"
    assert recipe.plan(Request(precision="F32")).precision == "F32"


# ---- the total rule


def part(text: str, **given: Weights) -> torch.Tensor:
    return ml.merge(f"field({text})", **given)["w"].double()


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_directions_without_weight_are_zero(rank: int) -> None:
    random = torch.Generator().manual_seed(rank)
    low = torch.randn(6, rank, generator=random) @ torch.randn(rank, 4, generator=random)
    x = {"w": low}
    for side, size in (("left", 6), ("right", 4)):
        vectors = part(f"{side}_vectors(x - origin)", x=x)
        assert vectors.shape == (size, 4)
        torch.testing.assert_close(vectors.T @ vectors, torch.diag((torch.arange(4) < rank).double()))
        assert not vectors[:, rank:].any()
    nearest = part("polar(x - origin)", x=x)
    assert torch.linalg.matrix_rank(nearest, tol=1e-6) == rank


def test_the_largest_entry_of_each_left_vector_is_positive() -> None:
    x = {"w": torch.randn(5, 7, generator=torch.Generator().manual_seed(1))}
    left = part("left_vectors(x - origin)", x=x)
    assert (left.gather(0, left.abs().argmax(0, keepdim=True)) > 0).all()
    torch.testing.assert_close(part("left_vectors(origin - x)", x=x), left)
    torch.testing.assert_close(part("right_vectors(origin - x)", x=x), -part("right_vectors(x - origin)", x=x))


def test_the_cutoff_says_what_counts_as_nothing() -> None:
    x = {"w": torch.diag(torch.tensor([8.0, 4.0, 1.0]))}
    values = [part(f"raw(singular_values(cutoff = {c}, x - origin))", x=x).tolist() for c in (0, 0.125, 0.5)]
    assert values == [[8, 4, 1], [8, 4, 0], [8, 0, 0]]


def test_a_system_without_one_solution_has_the_nearest_and_smallest() -> None:
    x = {"w": torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 2.0]])}
    y = {"w": torch.tensor([[4.0], [0.0], [2.0]])}
    made = part("solve(x - origin, y - origin)", x=x, y=y)
    torch.testing.assert_close(made, torch.tensor([[1.0], [1.0], [1.0]], dtype=torch.float64))
    assert not part("solve(x - x, y - origin)", x=x, y=y).any()


@pytest.mark.parametrize("smallest", [1e-3, 1e-5, 2e-6, 5e-7, 1e-9, 0.0])
def test_elimination_is_taken_only_where_it_gives_what_the_decomposition_does(smallest: float) -> None:
    random = torch.Generator().manual_seed(3)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=random, dtype=torch.float64)).Q
    other = torch.linalg.qr(torch.randn(8, 8, generator=random, dtype=torch.float64)).Q
    matrix = turn * torch.cat([torch.linspace(1, 0.5, 7), torch.tensor([smallest])]) @ other
    given = torch.randn(8, 2, generator=random, dtype=torch.float64)
    made = part("solve(x - origin, y - origin)", x={"w": matrix}, y={"w": given})
    torch.testing.assert_close(made, torch.linalg.pinv(matrix, rtol=1e-6) @ given, rtol=1e-6, atol=1e-6)


def test_eigenvectors_are_of_the_symmetric_part_and_the_largest_comes_first() -> None:
    x = {"w": torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1e-9]])}
    assert part("raw(eigenvalues(x - origin))", x=x).tolist() == pytest.approx([1, 0, -1])
    vectors = part("eigenvectors(x - origin)", x=x)
    half = 0.5**0.5
    expected = torch.tensor([[half, 0, half], [half, 0, -half], [0, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(vectors.abs(), expected.abs())
    assert (vectors.gather(0, vectors.abs().argmax(0, keepdim=True)) >= 0).all()
    with pytest.raises(Problem, match="as many rows as columns"):
        part("eigenvalues(x - origin)", x={"w": torch.ones(2, 3)})


def test_how_many_weights_come_first_can_be_told_by_a_decomposition() -> None:
    number = "sum(polar(x - origin)^2, per = tensor) - 1 / 2"
    first = part(f"earlier({number}, x, per = tensor)", x={"w": torch.eye(3)})
    assert first.tolist() == [[1, 1, 1], [0, 0, 0], [0, 0, 0]]


def test_infinities_that_are_allowed_spread_over_their_tensor_only() -> None:
    x = {"v": torch.ones(2, 2), "w": torch.tensor([[1.0, torch.inf], [0.0, 1.0]])}
    recipe = ml.compile("field(left_vectors(x - origin))", x=x)
    (made,) = recipe.tensors(Request(allow_nonfinite=True)).values()
    assert made["w"].isnan().all()
    assert made["v"].isfinite().all()
    with pytest.raises(Problem, match="w"):
        recipe.tensors()


# ---- columns, and tensors in one


def test_columns_of_one_key_keep_their_order_and_what_is_arranged_can_be_put_back() -> None:
    x = {"w": torch.tensor([[4.0, 1.0, 3.0, 1.0, 2.0]])}
    keys = "floor(norm(per = column, raw(x)) / 2)"
    assert part(f"arrange({keys}, raw(x))", x=x).tolist() == [[1, 1, 3, 2, 4]]
    back = f"arrange(arrange({keys}, column_numbers(raw(x))), arrange({keys}, raw(x)))"
    assert part(back, x=x).tolist() == x["w"].tolist()


def test_a_centre_that_no_column_goes_to_stays_where_it_is() -> None:
    x = {"w": torch.tensor([[0.0, 1.0, 8.0, 9.0]])}
    far = "beside([leading(1, raw(x)) + 100, leading(2, raw(x))])"
    assert part(f"clusters({far}, raw(x))", x=x).T.tolist() == [[0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]]


def test_of_two_centres_that_are_equally_near_the_first_has_the_column() -> None:
    x = {"w": torch.tensor([[-1.0, 1.0, 0.0]])}
    assert part("clusters(leading(2, raw(x)), raw(x))", x=x).tolist() == [[1, 0], [0, 1], [1, 0]]


def test_columns_far_apart_are_chosen_without_chance_and_drawn_ones_by_their_seed() -> None:
    x = {"w": torch.tensor([[0.0, 1.0, 2.0, 50.0, 51.0, -90.0]])}
    assert part("far_apart(3, raw(x))", x=x).tolist() == [[-90, 51, 0]]
    drawn = [part(f"drawn_apart(seed = {seed}, 3, raw(x))", x=x).tolist() for seed in range(40)]
    assert len({str(one) for one in drawn}) > 5
    # A column's chance goes by its squared distance, so nearly always all three groups are there.
    groups = [{round(value / 50) for value in columns[0]} for columns in drawn]
    assert sum(one == {-2, 0, 1} for one in groups) >= 36


def test_models_are_piled_bit_for_bit_and_as_they_are_stored() -> None:
    one = {"w": torch.randn(2, 3).to(torch.bfloat16), "v": torch.randn(3)}
    other = {"w": torch.randn(2, 3).to(torch.bfloat16), "v": torch.randn(3)}
    made = ml.merge("pile([one, other, one])", one=one, other=other)
    assert all(torch.equal(made[name], torch.stack([one[name], other[name], one[name]])) for name in one)
    below = ml.merge("above([pile([one, one]), pile([other])])", one=one, other=other)
    assert all(torch.equal(below[name], torch.stack([one[name], one[name], other[name]])) for name in one)
    assert ml.compile("above([one, other])", one=one, other=other).plan().precision == "F32"


def test_what_is_piled_goes_to_its_place_part_by_part() -> None:
    one, other = ({"layers.0.w": torch.randn(3, 5), "layers.1.w": torch.randn(2, 7)} for _ in range(2))
    between = "one + 0.5 * depth * (other - one)"
    recipe = ml.compile(f"pile([above([one, other]), above([{between}, one])])", one=one, other=other)
    plan = recipe.plan()
    assert {program.reach for program in plan.programs} == {"weight"}
    assert sum(len(stage.copies) for stage in plan.stages) == 2 * 3 + 1  # at depth 0 the third part is `one` as it is
    (made,) = recipe.tensors().values()
    parts = {name: (x, other[name], (x + other[name]) / 2 if "1" in name else x, x) for name, x in one.items()}
    torch.testing.assert_close(made, {name: torch.cat(of).view(2, -1, of[0].shape[1]) for name, of in parts.items()})


@pytest.mark.parametrize(("second", "tasks"), [("truncate(1, other)", 2), ("truncate(2, one)", 1)])
def test_parts_that_share_a_decomposition_are_made_together(second: str, tasks: int) -> None:
    given = {name: {"w": torch.randn(4, 5)} for name in ("a", "b")}
    text = f"let one = a - origin let other = b - origin merge delta(pile([truncate(1, one), {second}]))"
    plan = ml.compile(text, **given).plan()
    assert sum(len(stage.tasks) for stage in plan.stages) == tasks
    assert steps(plan).count("svd") == tasks
    (made,) = ml.compile(text, **given).tensors(F64).values()
    rank, other = (1, given["b"]) if tasks == 2 else (2, given["a"])
    wanted = torch.stack([cut(given["a"]["w"], 1), cut(other["w"], rank)])
    torch.testing.assert_close(made["w"], wanted)


def cut(x: torch.Tensor, rank: int) -> torch.Tensor:
    """The best approximation of the matrix by so many directions."""
    u, s, v = torch.linalg.svd(x.double(), full_matrices=False)
    return u[:, :rank] * s[:rank] @ v[:rank]


def test_what_is_computed_from_a_pile_is_in_memory_once_as_parts_and_once_as_a_whole() -> None:
    given = {name: {"w": torch.randn(300, 1000)} for name in ("one", "other")}
    recipe = ml.compile("point(raw(pile([above([one, other]), above([other, one])])) / 2)", **given)
    plan = recipe.plan()
    assert steps(plan) == ["load", "load", "above", "mul", "store"]
    (program,) = plan.programs
    parts, whole = 2 * 300 * 1000 * 4, 4 * 300 * 1000 * 4
    halves = (1 + MOST_TEMPS) * whole
    assert block_bytes(program, program.phases[0], (1200, 1000), 4, "eager") <= 1.01 * (parts + whole + halves)
    (made,) = (tensors["w"] for tensors in recipe.tensors().values())
    below = [torch.cat([given[name]["w"] for name in names]) for names in (("one", "other"), ("other", "one"))]
    assert torch.equal(made, torch.stack(below) / 2)


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("pile([x, y])", "of one shape"),
        ("above([x, y])", "all dimensions but the first"),
        ("field(arrange(norm(per = column, y - origin), raw(x)))", "as many keys"),
        ("field(clusters(raw(y), raw(x)))", "as many rows"),
    ],
)
def test_what_does_not_fit_is_told_from_headers(text: str, needs: str) -> None:
    with pytest.raises(Problem, match=needs) as raised:
        ml.compile(text, x={"w": torch.ones(2, 3)}, y={"w": torch.ones(4, 5)}).plan()
    assert raised.value.slug == "matrices-do-not-fit"


# ---- memory


def test_a_budget_in_which_a_decomposition_does_not_fit_is_refused_and_the_least_one_is_enough() -> None:
    given = {name: {"w": torch.randn(700, 600)} for name in ("base", "a")}
    recipe = ml.compile("merge base + polar(a - base) * norm(a - base)", **given)
    plan = recipe.plan(Request(budget=Budget(memory=1 << 20, threads=1)))
    least = least_memory(plan)
    assert least > 700 * 600 * 8 * 4
    enough = recipe.plan(Request(budget=Budget(memory=least, threads=1)))
    assert enough.costs.peak_memory <= least
    (made,) = run_in_memory(enough, recipe.sources()).values()
    assert made["w"].isfinite().all()
