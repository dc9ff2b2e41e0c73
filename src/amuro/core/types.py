"""Everything that is carried from room to room. Frozen values, no behaviour beyond naming themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


def exact(number: float) -> str:
    """The number in few characters, and never those of another one: 0.001, 1e-05, 0.001234567."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


Kind = Literal["classification", "multiple_choice", "generation", "language_modeling"]
"""How a task is asked. *label*: one of a fixed set of answer words. *choice*: options that differ by example.
*generate*: free text. *document*: the likelihood of a whole text (bits per byte)."""


Normalize = Literal["none", "ends", "spaces"]
"""*ends*: blanks at the ends of a text are taken off. *spaces*: it stands on one line, with single spaces."""


@dataclass(frozen=True, slots=True)
class Example:
    """One question with its right answer. `inputs` are the fields that a format words. Texts are what the row holds."""

    id: str
    cluster: str
    """What this example shares with others (person, value, premise, passage): the unit of resampling."""
    inputs: Mapping[str, str]
    answer: str
    options: tuple[str, ...] = ()
    """Candidate answers of a *choice* task; a *label* task takes them from `Task.labels`."""
    earlier: tuple[tuple[Mapping[str, str], str], ...] = ()
    """Turns of a dialogue before this one, as (inputs, answer): read before it, and each answer is learned too."""
    contexts: tuple[Mapping[str, str], ...] = ()
    """Inputs of each option, where each stands behind a question of its own; `inputs` are those of the right one."""
    gold: int | None = None
    """Place of the right option, where its words do not tell (a *choice* task; else the place of `answer`)."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much a data set is, for plans that load nothing. Estimates: shown with a ~."""

    rows: Mapping[str, int]
    """Our split → rows."""
    prompt_tokens: int
    """Mean of a 0-shot prompt in the default format."""
    answer_tokens: int
    """Mean of one answer."""
    megabytes: float
    """To download."""
    source: str
    """Where the figures come from."""


STATED_SPLITS: Mapping[str, str] = {"train": "train[200:]", "dev": "train[:200]", "test": "test"}
"""Our split → the source's, of a task of a study whose table says none."""


@dataclass(frozen=True, slots=True)
class Task:
    """A kind of question: the facts about it and how a row becomes an example. It never loads anything."""

    name: str
    source: str
    """`world:NAME`, `hub:NAMESPACE/NAME[:CONFIG]`, `hub:NAMESPACE/NAME/FOLDER` or `file:PATH`."""
    family: str
    kind: Kind
    metric: str
    """Primary metric: a file name of `metrics/`."""
    example: Callable[[Mapping[str, Any]], Example]
    fields: tuple[tuple[str, str], ...]
    """(key in `Example.inputs`, label shown before it), in the order of the prompt."""
    answer_prefix: str
    """The words that the answer follows, without a trailing space."""
    instruction: str
    cluster: str
    """What a cluster is, in words."""
    splits: Mapping[str, str]
    """Our split (train, dev, test, test_ood, …) → the source's split."""
    labels: tuple[str, ...] = ()
    chance: float | None = None
    """Expected score of a guess; None where there is no such thing."""
    field_separator: str = "\n"
    """Between the fields of one prompt."""
    separator: str = "\n\n"
    """Between the shots of a few-shot prompt."""
    templates: Mapping[str, str] = field(default_factory=dict)
    """Format name → template with {field} places, where the format's own wording does not fit."""
    answer_suffix: str = ""
    """Closing mark of every answer (the embedded world ends each with a full stop)."""
    stop: tuple[str, ...] = ("\n",)
    max_new_tokens: int = 60
    licence: str = ""
    page: str = ""
    """Where the schema is stated."""
    normalize: Normalize = "none"
    """What is done to the texts of a row before anything else; *none*: they are asked and learned as they are."""
    missing: Literal["refuse", "drop"] = "refuse"
    """A row with a missing value stops everything, or is left out, and the audit says how many were."""
    revision: str | None = None
    """Commit of the hub data set that a public source states. A branch, or None for main, is resolved on first use
    into the lock."""
    unconditional: str = ""
    """A context that asks nothing, in which the options of a *choice* task are scored as well (PMI normalisation)."""
    size: Size | None = None
    shots_from: Literal["train", "evaluation", "train_by_row"] = "train"
    """Where a few-shot prompt takes its shots: drawn from train once for all rows; as the paper did for tuned tasks,
    the first rows of the evaluated split, which are scored all the same; or, as in the paper's multiple choice,
    drawn from train anew for each row."""
    encoding: Literal["prompt_then_answer", "whole_text"] = "prompt_then_answer"
    """*pieces*: the prompt alone, and the answer with its space as it stands behind the prompt. *joint*: as the paper,
    the whole text at once to learn, and a prompt with its trailing space to be asked."""
    label_scoring: Literal["whole", "sub_tokens"] = "whole"
    """*sub_tokens*: as the paper, a label scores what the likeliest of its tokens scores at the first position."""
    hidden_gold: bool = False
    """The paper scored a split whose labels are hidden: every gold is the same. Kept visible as degenerate."""
    paper: Task | None = None
    """The same task as the paper worded and scored it, defects included; None where the paper had no such task."""


@dataclass(frozen=True, slots=True)
class Format:
    """A way of wording: task and example → what is read, without a trailing space."""

    name: str
    description: str
    render: Callable[[Task, Example], str]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The weights of one pre-training run after `tokens`."""

    series: str
    step: int
    tokens: int | None
    """Training tokens seen, counted with repetition."""
    unique_tokens: int | None
    schedule: str
    """State of the learning-rate schedule here: initial, warmup, constant, decay, annealed, unknown."""
    source: str
    revision: str | None = None
    identity: str = ""
    """Digest of what declares the weights before they exist or are read (configuration, seeds, source, revision)."""
    parameters: int | None = None
    """Numbers in its weights, embeddings included."""
    bytes: int | None = None
    """Size of its weights files."""
    tokenizer: str | None = None
    """Folder of its tokenizer, where that is not the folder of its weights."""

    @property
    def address(self) -> str:
        return f"{self.series}-{self.identity[:6]}@{self.step}" if self.identity else f"{self.series}@{self.step}"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to tune. Several learning rates are a rule: the best on the dev split, chosen for each checkpoint."""

    name: str
    mixture: tuple[tuple[str, float], ...]
    """(task, weight); one entry for ordinary tuning."""
    rows: int
    epochs: int
    learning_rates: tuple[float, ...]
    batch_size: int = 8
    format: str = "default"
    method: Literal["full", "lora"] = "full"
    warmup_ratio: float = 0.03
    schedule: Literal["linear", "constant"] = "linear"
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    max_length: int = 2048
    weighting: Literal["token", "example"] = "token"
    """What weighs the same within an optimiser step: each answer token, or (as in the paper) each example."""
    row_seed: int = 42
    """Which training rows are drawn."""
    protocol: str = "corrected"
    lora_rank: int = 16
    lora_alpha: int = 32
    lora_targets: tuple[str, ...] = ()
    """Linear layers that get an adapter, by the end of their names; all but the head where none is named."""
    control: str = "none"
    """Which negative control this is; `none` of every recipe that teaches its task. Reserved, so that controls
    invalidate no store."""

    @property
    def tuned_on(self) -> str:
        return "+".join(task for task, _ in self.mixture)


@dataclass(frozen=True, slots=True)
class Model:
    """A checkpoint as it is (*base*: no recipe), or tuned. A rate of None is the one that the rule chooses."""

    checkpoint: Checkpoint
    recipe: Recipe | None = None
    recipe_digest: str = ""
    tune_seed: int | None = None
    learning_rate: float | None = None

    @property
    def is_low_rank(self) -> bool:
        """Whether tuning trains an adapter and leaves the weights as they are."""
        return self.recipe is not None and self.recipe.method == "lora"

    @property
    def address(self) -> str:
        if self.recipe is None:
            return self.checkpoint.address
        chosen, several = self.learning_rate, len(self.recipe.learning_rates) > 1
        rate = f"/lr{exact(chosen)}" if several and chosen is not None else ""
        return f"{self.checkpoint.address}+{self.recipe.name}-{self.recipe_digest[:6]}/seed{self.tune_seed}{rate}"


@dataclass(frozen=True, slots=True)
class EvalSet:
    task: str
    split: str

    def __str__(self) -> str:
        return f"{self.task}/{self.split}"


@dataclass(frozen=True, slots=True)
class Cell:
    """One square of the grid."""

    model: Model
    eval_set: EvalSet
    format: str
    shots: int
    shot_seed: int
    decoding: str
    """likelihood or greedy"""
    protocol: str
    limit: int
    precision: str
    device: str
    instruction: str = ""
    """Which instruction words the prompt; empty is the task's own. Reserved, so that others invalidate no store."""

    @property
    def address(self) -> str:
        return (
            f"{self.model.address}|{self.eval_set}|{self.format}|{self.shots}shot.{self.shot_seed}|{self.decoding}"
            f"|{self.protocol}|n{self.limit}|{self.precision}|{self.device}"
        )


@dataclass(frozen=True, slots=True)
class Request:
    """One example as an engine sees it: token ids only."""

    example_id: str
    context: tuple[int, ...]
    """Ids of the prompt after the shared prefix; never empty."""
    options: tuple[tuple[int, ...], ...] = ()
    """Ids of each candidate answer (label, choice), or of the whole document (document)."""
    gold: int = -1
    """Index of the right option. Only the toy engine, which has no weights to know better, reads it."""


@dataclass(frozen=True, slots=True)
class RequestBatch:
    """All requests of one cell, with what their prompts begin with alike: the BOS policy's ids, shots, a wording."""

    cell: Cell
    prefix: tuple[int, ...]
    requests: tuple[Request, ...]
    stop: tuple[str, ...] = ()
    max_new_tokens: int = 0
    golds: tuple[str, ...] = ()
    """Right answers as text, for the toy engine."""
    ends: frozenset[int] = frozenset()
    """Ids that end a generation: the tokenizer's policy, never an engine's own guess."""
    past_window: bool = False
    """Whether a prompt may be longer than what the model was trained to read, as in the paper (P4)."""


@dataclass(frozen=True, slots=True)
class Generation:
    text: str
    """Without the stop string and whatever came after it."""
    stopped: bool
    """By a stop string or by end-of-text, before the limit."""
    tokens: int


@dataclass(frozen=True, slots=True)
class Training:
    """What a tuning run leaves besides weights."""

    losses: tuple[float, ...]
    steps: int
    tokens: int
    """Tokens read, padding not counted."""
    answer_tokens: int
    seconds: float
    truncated: int = 0
    """Training examples of which not all was learned, since they outgrew the recipe's length or the context."""
    diverged_at: int | None = None
    """First step whose loss or gradient was not finite; the step was not applied and training stopped."""


Verdict = Literal["supported", "refuted", "open"]
EvidenceState = Literal["measured", "not run", "degenerate", "insufficient", "mixed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence with its evidence (rules: docs/method.md)."""

    id: str
    """Stable within a study: ANALYSIS.TASK[.DETAIL], lower case."""
    analysis: str
    statement: str
    verdict: Verdict
    evidence: EvidenceState
    effect: float | None
    low: float | None
    high: float | None
    n: int
    unit: str
    """What n counts: clusters, checkpoints, data sets."""
    delta: float
    """Smallest effect of interest, on the scale of `effect`."""
    family: str
    p_adjusted: float | None
    series: str
    cells: tuple[str, ...]
    """Addresses of the cells that it stands on."""
    note: str = ""
    """Limits of this finding in one or two sentences; shown beside it."""
    task: str = ""
    points: tuple[Mapping[str, Any], ...] = ()
    """What its figure draws: flat records, e.g. {"tokens": …, "value": …, "low": …, "high": …, "line": "base"}."""
