"""The plan: how a recipe will be run, as plain data that can be printed, compared, saved and run later.

A plan is a list of stages. A stage is one sweep over the inputs' files: its tasks each make one output tensor, or
gather one tensor's share of the model-wide statistics, or both. A task runs a program, which many tensors share: the
program says what to compute per block, the task says on which tensors and with which numbers.

Registers of a program hold one of four kinds of value: "block" (one per weight, [rows, cols]), "row" ([rows, 1]),
"column" ([1, cols]) and "scalar" (one float64). A tensor of shape [..., n] is seen as rows of length n; a 1-D tensor
is one row. The first registers are the task's scalars, in order.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import msgspec

PLAN_FORMAT = 1

# Sums are taken per chunk of about this many weights (whole rows, for matrices), then over the chunks in order, so
# that no block size, thread count or budget changes a bit of them.
CHUNK = 65536

Scalar = float | str  # a number, or the name of a model-wide value that an earlier stage computes
AttrValue = int | float | str
GapUnit = tuple[int, str]  # a gap by its number, and what is counted there: weights, rows, directions, ...
Positive = Annotated[int, msgspec.Meta(ge=1)]
Precision = Literal["F32", "F64"]  # what a run computes in
Kernels = Literal["eager", "compiled"]  # operation by operation, or compiled to one loop


class Data(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of everything in a plan: immutable, comparable, JSON by msgspec."""


class Step(Data, frozen=True):
    """`out = op(args)` over registers. Besides the elementwise operations of the graph there are:

    `quotient` (a division whose zero divisors are not to be 0 but to be noticed), `load` (attr leaf: the task's leaf,
    converted to the working precision), `store` (attr slot: args[0] becomes the task's store of that number, rounded
    once), `keep` (attr mask: args[0], which is 0 or 1 for each weight, stays in memory until the task is through) and
    `recall` (the same attr -> what was kept), `fill` (args[0] -> the kind of `out`), `chance` (args: probability; attr
    seed: index into the task's seeds -> block of 0 and 1), `uniform` (the same attr -> numbers in 0..1), `earlier`
    (args: number -> 1 for so many weights of the tensor from its first on, else 0), `sum` (args: c0, x0, c1, x1, ...
    -> the weighted sum, in order), `plus_product` (args: x, c, y, z -> x + c*y*z), `anchored` (the same as `sum` where
    the coefficients add up to 1: x0 + c1*(x1 - x0) + ..., exact where all x are equal),
    `row_total|smallest|largest|rank`, `row_order` (args: rank, x), the same with `column_` and, for ranks, `tensor_`,
    `chunk_` (args: how many, x, before them a place: of each of so many chunks, at every weight) and `head_` (attr
    heads: of so many heads, each with columns of its own, at every weight),
    `first` (args: count, value, cut, x -> 1 for the values at the first `count` places in ascending order,
    of which `value` is the last and `cut` says which of its equals belong to them: see Fold), `shrink` (args: x, least
    -> x where its size is at least a number, else 0), `middle` (args: x, low, high -> x where its size lies between two
    numbers, else 0) and `clamp` (args: x, low, high -> x between two numbers); on whole matrices `transpose`,
    `product`, `beside`, `above`, `leading`, `arrange` (args: keys, x -> the columns of x in ascending order of the
    keys), `clusters` (args: centres, x -> 1 where a column is in a cluster), `cumulate`, `svd` (attr cutoff: U, the
    singular values and V below each other), `product_svd` (args: x, y; the same for their product, as wide as x),
    `eigen` (as `svd`: Q and the eigenvalues), `rows` (attr first: as many as `out` has, from that one on) and `solve`
    (args: x, y; attr cutoff -> the smallest z for which x z is nearest to y).
    The attr `gap` has a step count how often it meets the plan's gap of that number.
    """

    op: str
    out: int
    args: tuple[int, ...] = ()
    attrs: dict[str, AttrValue] = {}


class Fold(Data, frozen=True):
    """A streaming statistic over a whole tensor, or over the model, fed from register `source` block by block.

    `kind` order takes two rounds (a sample that brackets the value, then the count that finds it), each a phase (tensor
    reach) or a stage (model reach) of its own; `round` tells which this is, `stride` (model reach) that a sample takes
    one value in so many. `state` numbers the statistic within the program, so that the second round finds the first
    one's result. Tensor reach: the answer goes to scalar register `out` after the last round. Model reach: `stat` is
    the index into the task's `stats`, which gives its name. A scalar `source` is seen once per task, when the phase is
    through: before `after` (tensor reach) or behind it (model reach). A sample's `rank` may be what `after` works out.

    A total that is not `last` is guessed from a sample; the next phase gathers it.

    `cut` is the scalar register for how far into the tensor the values equal to the answer take the places up to
    `rank`: all in the chunks before weight `s`, and `r` in the chunk that starts there, as the number `s + r`.
    """

    kind: Literal["total", "smallest", "largest", "order"]
    source: int
    state: int
    out: int = -1
    stat: int = -1
    rank: int = -1  # scalar register that holds the place in ascending order, from 0 (kind order only)
    round: int = 0
    last: bool = True
    stride: int = 1
    cut: int = -1


class Phase(Data, frozen=True):
    """One pass over the tensor's blocks: `steps` per block, then `after` once on scalars with the folds' answers.

    `ranks` are steps on scalars that tell the places of order statistics, where the phase's own totals say them.
    """

    steps: tuple[Step, ...]
    folds: tuple[Fold, ...] = ()
    after: tuple[Step, ...] = ()
    sampled: int = 0  # where all folds want no more than a sample: one weight in so many is looked at
    ranks: tuple[Step, ...] = ()


class Program(Data, frozen=True):
    """What to compute for one tensor; `before` runs once on scalars, ahead of the first phase.

    `reach` says what a block must hold: any weights ("weight"), whole rows ("row"), whole chunks ("chunk"), of which
    there are as many as register `chunks` says, or the whole tensor ("tensor"); with linear algebra ("matrix") it holds
    the whole tensor, and each register says its own shape, as `48x16`.
    """

    kinds: tuple[str, ...]  # per register: block, row, column or scalar; a shape for a matrix
    leaves: int
    before: tuple[Step, ...]
    phases: tuple[Phase, ...]
    reach: Literal["weight", "row", "chunk", "tensor", "matrix"] = "weight"
    masks: int = 0  # how many are kept, a byte a weight
    chunks: int = -1


class Leaf(Data, frozen=True):
    """A tensor of an input, by the input's number and the tensor's name there. `weights` -1: as many as the task's."""

    input: int
    tensor: str
    dtype: str
    weights: int = -1


class Store(Data, frozen=True):
    """A tensor of an output, by the output's number and the tensor's name there; its weights from `first` on, where it
    is made part by part. `weights` -1: as many as the task's."""

    output: int
    tensor: str
    dtype: str
    first: int = 0
    weights: int = -1


class Task(Data, frozen=True):
    """One program run on one tensor, and on others that share a decomposition with it. `key` names it in progress and
    errors.

    `resident` says that leaves which several phases read in full stay in memory between these; otherwise each phase
    reads them again.
    `check` lists the leaves that no earlier task has read: these are checked for NaN and infinity.
    """

    program: int
    key: str
    shape: tuple[int, ...]
    leaves: tuple[Leaf, ...] = ()
    scalars: tuple[Scalar, ...] = ()
    seeds: tuple[int, ...] = ()
    stats: tuple[str, ...] = ()
    stores: tuple[Store, ...] = ()
    resident: bool = True
    check: tuple[int, ...] = ()


class Copy(Data, frozen=True):
    """A tensor that goes to the output as it is. `same` must hold equal bytes (integer buffers), or the run stops."""

    store: Store
    leaf: Leaf
    shape: tuple[int, ...]
    same: tuple[Leaf, ...] = ()


class ScalarStep(Data, frozen=True):
    """`out = op(args)` over model-wide values, once a stage is through. An arg is a number or a value's name."""

    op: str
    out: str
    args: tuple[Scalar, ...]
    attrs: dict[str, AttrValue] = {}


class Stat(Data, frozen=True):
    """A model-wide statistic under its name. `rank` (kind order) is a number or a value's name."""

    name: str
    kind: str
    rank: Scalar | None = None


class Stage(Data, frozen=True):
    """One sweep over the files. `stats` are complete once it is through; then `after` computes with them."""

    tasks: tuple[Task, ...] = ()
    copies: tuple[Copy, ...] = ()
    stats: tuple[Stat, ...] = ()
    after: tuple[ScalarStep, ...] = ()


class PlannedFile(Data, frozen=True):
    path: str
    size: int
    header_digest: str


class PlannedInput(Data, frozen=True):
    """An input as it was when the plan was made: a run refuses one whose headers have changed."""

    ref: str
    kind: str
    path: str
    files: tuple[PlannedFile, ...] = ()


class PlannedTensor(Data, frozen=True):
    name: str
    shape: tuple[int, ...]
    dtype: str


# An entry of a config.json.
ConfigValue = str | int | float | bool | list[str | int | float | bool]


class PlannedAdapter(Data, frozen=True):
    """What the config of an adapter says beside what its tensors tell: the Model it is on, as the recipe names it, and
    whether that keeps its layers transposed."""

    model: str
    transposed: bool = False


class PlannedOutput(Data, frozen=True):
    """What one `merge` item writes. `template` is the input whose config and tokenizer files go with it (-1: none)."""

    name: str
    tensors: tuple[PlannedTensor, ...]
    tied: dict[str, str] = {}
    template: int = -1
    layers: int | None = None  # the new layer count, where the recipe changed it
    config: dict[str, ConfigValue] = {}  # what the recipe changes in the template's config
    adapter: PlannedAdapter | None = None  # where the output is no model but an adapter
    left_out: tuple[str, ...] = ()  # the template's tensors of which it has none, though its config is for them


class Gap(Data, frozen=True):
    """Where the language may have to answer what mathematics does not: a division by what may be 0, or a decomposition
    that leaves directions without size out. Steps name it by `number`; `text` and `place` are the recipe's."""

    number: int
    kind: Literal["division", "directions"]
    text: str
    place: str


class Budget(Data, frozen=True):
    """What the run may use. Bytes for memory; `block` in weights, rounded to whole chunks; none changes a result.

    Threads hand the interpreter over between the kernels of a block, which costs more than memory further away does:
    hence large blocks, and smaller ones where the budget asks for it.

    Only another `device`, and other `kernels`, may differ in the last bits of the working precision. Unless it is said,
    kernels are compiled where that takes a moment, which is on the CPU.
    """

    memory: Positive = 1 << 29  # with what an interpreter and its libraries hold, under 700 MB
    threads: Positive = 2
    block: Positive = 8 * CHUNK
    device: str = "cpu"
    kernels: Kernels | None = None

    @property
    def is_compiled(self) -> bool:
        """True if the steps are compiled to loops, and not called one after the other."""
        return self.device == "cpu" if self.kernels is None else self.kernels == "compiled"


class Costs(Data, frozen=True):
    """What the run will take: counted, not guessed, but for the peak, which is an upper bound."""

    sweeps: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    flops: int = 0
    peak_memory: int = 0


class Plan(Data, frozen=True):
    recipe: str  # the text as written
    digest: str  # of the recipe's meaning: names, comments and layout do not count
    inputs: tuple[PlannedInput, ...]
    outputs: tuple[PlannedOutput, ...]
    programs: tuple[Program, ...]
    stages: tuple[Stage, ...]
    references: tuple[str, ...] = ()  # the papers that the recipe's methods rest on, as text
    merges: tuple[tuple[int, int], ...] = ()  # from where to where in the recipe's text each output's value is written
    gaps: tuple[Gap, ...] = ()
    precision: Precision = "F32"
    allow_nonfinite: bool = False
    budget: Budget = Budget()
    costs: Costs = Costs()
    format: int = PLAN_FORMAT
    seal: str = ""  # sha256 of all the rest, in a saved plan: an edited one would run under a digest not its own


def encode(plan: Plan) -> bytes:
    """The plan as indented JSON, sealed."""
    return msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(plan, seal=seal_of(plan))), indent=1)


def seal_of(plan: Plan) -> str:
    """The seal that the plan has when it is saved as it is."""
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(plan, seal=""))).hexdigest()


def decode(data: bytes) -> Plan:
    """The plan that `encode` wrote. Raises BrokenSeal for an edited one, msgspec's own errors for anything else."""
    plan = msgspec.json.decode(data, type=Plan)
    if plan.seal != seal_of(plan):
        raise BrokenSeal
    return msgspec.structs.replace(plan, seal="")


class BrokenSeal(Exception):
    """A saved plan was changed after it was made."""
