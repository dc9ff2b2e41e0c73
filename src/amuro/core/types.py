"""Types that several packages share: tasks, models, cells and findings. Frozen values that can state their address."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


def exact(number: float) -> str:
    """The number as short text that parses to the same number: 0.001, 1e-05, 0.001234567."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


EVERY_FORMAT = "*"  # key of `Task.templates` for all formats that it does not name
Kind = Literal["classification", "multiple_choice", "generation", "language_modeling"]
"""How a task is evaluated. *classification*: one of a fixed set of labels. *multiple_choice*: options that differ by
example. *generation*: free text. *language_modeling*: the likelihood of a whole text (bits per byte)."""
Normalize = Literal["none", "ends", "spaces"]
"""*none*: texts stay unchanged. *ends*: blanks at both ends are removed. *spaces*: any blanks become one space, too."""


@dataclass(frozen=True, slots=True)
class Example:
    """One example of a task: its inputs and the right answer. Texts are those of the row, unchanged."""

    id: str
    """Unique within the split."""
    cluster: str
    """What this example shares with others (person, value, premise, passage): the unit of resampling."""
    inputs: Mapping[str, str]
    """Field → text, for the prompt."""
    answer: str
    options: tuple[str, ...] = ()
    """Candidate answers of a multiple_choice task; a classification task has them in `Task.labels`."""
    earlier: tuple[tuple[Mapping[str, str], str], ...] = ()
    """Earlier turns of a dialogue as (inputs, answer). They precede the prompt; tuning has loss on their answers."""
    contexts: tuple[Mapping[str, str], ...] = ()
    """Inputs per option, if each option has a prompt of its own; `inputs` are then those of the right option."""
    gold: int | None = None
    """Index of the right option if its text is not unique (multiple_choice); None: the index of `answer`."""


@dataclass(frozen=True, slots=True)
class Size:
    """Approximate size of a data set, for planning without loading it. Figures are shown with a ~."""

    rows: Mapping[str, int]
    """Split of the task → rows."""
    prompt_tokens: int
    """Mean tokens of a 0-shot prompt in the default format."""
    answer_tokens: int
    """Mean tokens of one answer."""
    megabytes: float
    """Download size."""
    source: str
    """Where the figures come from."""


STATED_SPLITS: Mapping[str, str] = {"train": "train[200:]", "dev": "train[:200]", "test": "test"}
"""Split of the task → split of the source; the default for tasks that a study defines without splits."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task: facts about its data set, how a row becomes an example, and how it is prompted. It loads no data."""

    name: str
    source: str
    """`world:NAME`, `hub:NAMESPACE/NAME[:CONFIG]`, `hub:NAMESPACE/NAME/FOLDER` or `file:PATH`."""
    family: str
    kind: Kind
    metric: str
    """Name of the primary metric (a plugin of `tasks/metrics/`)."""
    example: Callable[[Mapping[str, Any]], Example]
    fields: tuple[tuple[str, str], ...]
    """(key in `Example.inputs`, label shown before it), in the order of the prompt."""
    answer_prefix: str
    """Text at the end of the prompt that the answer follows, without a trailing space."""
    instruction: str
    cluster: str
    """What a cluster is, in words."""
    splits: Mapping[str, str]
    """Split of the task (train, dev, test, test_ood, …) → split of the source."""
    labels: tuple[str, ...] = ()
    """Labels of a classification task."""
    chance: float | None = None
    """Expected score of guessing at random; None where it is undefined."""
    field_separator: str = "\n"
    """Between the fields of one prompt."""
    separator: str = "\n\n"
    """Between the shots of a few-shot prompt."""
    templates: Mapping[str, str] = field(default_factory=dict)
    """Format name, or `EVERY_FORMAT` → template with {field} placeholders, used instead of the format's own."""
    answer_suffix: str = ""
    """Last characters of every answer (the embedded world ends each with a full stop)."""
    stop: tuple[str, ...] = ("\n",)
    max_new_tokens: int = 60
    licence: str = ""
    page: str = ""
    """Address of a page that documents the schema."""
    normalize: Normalize = "none"
    missing: Literal["refuse", "drop"] = "refuse"
    """What a row with a missing value does: it raises DataError, or is dropped and counted in the audit."""
    revision: str | None = None
    """Pinned commit of the hub data set. A branch, or None for main, is resolved into the lock file on first use."""
    unconditional: str = ""
    """A context without a question, in which multiple_choice options are scored as well (PMI normalisation)."""
    size: Size | None = None
    shots_from: Literal["train", "evaluation", "train_by_row"] = "train"
    """Where shots come from. *train*: drawn from train once for all rows. *evaluation*: the first rows of the evaluated
    split, which are scored all the same (the paper's tuned tasks). *train_by_row*: drawn from train again for each row
    (the paper's multiple-choice tasks)."""
    encoding: Literal["prompt_then_answer", "whole_text"] = "prompt_then_answer"
    """*prompt_then_answer*: the prompt is encoded alone, then the answer with its leading space. *whole_text* (the
    paper): training texts are encoded as a whole, and prompts to evaluate end with a space."""
    label_scoring: Literal["whole", "sub_tokens"] = "whole"
    """*whole*: a label's score is the log-probability of all its tokens. *sub_tokens* (the paper): the maximum
    log-probability of any of its tokens at the first position."""
    hidden_gold: bool = False
    """Whether the split's labels are hidden, so that all golds are the same (as the paper scored it): such cells are
    reported as degenerate."""
    paper: Task | None = None
    """The same task as in the paper, including its defects; None where the paper had no such task."""


@dataclass(frozen=True, slots=True)
class Format:
    """A prompt format. `render`: (task, example) → prompt without a trailing space."""

    name: str
    description: str
    render: Callable[[Task, Example], str]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One checkpoint of a pre-training run."""

    series: str
    step: int
    """Optimiser steps of pre-training; −1: unknown."""
    tokens: int | None
    """Training tokens up to here, repetitions included; None: unknown."""
    unique_tokens: int | None
    """Training tokens without repetitions; None: unknown."""
    schedule: str
    """Phase of the learning-rate schedule: initial, warmup, constant, decay, annealed, unknown."""
    source: str
    """Folder or hub repository of its weights."""
    revision: str | None = None
    identity: str = ""
    """Digest of all that determines the weights, without reading them (configuration, seeds, source, revision)."""
    parameters: int | None = None
    """Number of parameters, embeddings included."""
    bytes: int | None = None
    """Size of its weights files."""
    tokenizer: str | None = None
    """Folder of its tokenizer; None: the folder of its weights."""

    @property
    def address(self) -> str:
        """Its unique name within a study."""
        return f"{self.series}-{self.identity[:6]}@{self.step}" if self.identity else f"{self.series}@{self.step}"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to tune. With several learning rates, the best one on the dev split is chosen for each checkpoint."""

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
    """What has equal weight in the loss of an optimiser step: each answer token, or each example (as in the paper)."""
    row_seed: int = 42
    """Seed of the sample of training rows."""
    protocol: str = "corrected"
    lora_rank: int = 16
    lora_alpha: int = 32
    lora_targets: tuple[str, ...] = ()
    """Linear layers that get an adapter, by the ends of their names; empty: all but the head."""
    control: str = "none"
    """Equal weight in the loss of an optimiser step: each answer token, or each example (as in the paper)."""

    @property
    def tuned_on(self) -> str:
        """The tasks of the mixture, joined by +."""
        return "+".join(task for task, _ in self.mixture)


@dataclass(frozen=True, slots=True)
class Model:
    """A base model (no recipe) or a tuned one. `learning_rate` None: the rate chosen on the dev split."""

    checkpoint: Checkpoint
    recipe: Recipe | None = None
    recipe_digest: str = ""
    tune_seed: int | None = None
    learning_rate: float | None = None

    @property
    def is_low_rank(self) -> bool:
        """Whether it is tuned by a low-rank adapter, with frozen weights."""
        return self.recipe is not None and self.recipe.method == "lora"

    @property
    def address(self) -> str:
        """Its unique name within a study."""
        if self.recipe is None:
            return self.checkpoint.address
        chosen, several = self.learning_rate, len(self.recipe.learning_rates) > 1
        rate = f"/lr{exact(chosen)}" if several and chosen is not None else ""
        return f"{self.checkpoint.address}+{self.recipe.name}-{self.recipe_digest[:6]}/seed{self.tune_seed}{rate}"


@dataclass(frozen=True, slots=True)
class EvalSet:
    """A split of a task."""

    task: str
    split: str

    def __str__(self) -> str:
        return f"{self.task}/{self.split}"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a study's grid: a model, an evaluation set, and how it is prompted and scored."""

    model: Model
    eval_set: EvalSet
    format: str
    shots: int
    shot_seed: int
    decoding: str
    """`likelihood` or `greedy`."""
    protocol: str
    limit: int
    """Maximum number of examples."""
    precision: str
    device: str
    instruction: str = ""
    """Name of the instruction; empty: the task's own. Reserved, so that adding others changes no store key."""

    @property
    def address(self) -> str:
        """Its unique name within a study."""
        return (
            f"{self.model.address}|{self.eval_set}|{self.format}|{self.shots}shot.{self.shot_seed}|{self.decoding}"
            f"|{self.protocol}|n{self.limit}|{self.precision}|{self.device}"
        )


Verdict = Literal["supported", "refuted", "open"]
EvidenceState = Literal["measured", "not run", "degenerate", "insufficient", "mixed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One statement with its evidence (rules: docs/method.md)."""

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
    """Addresses of the cells that it is computed from."""
    note: str = ""
    """Limits of this finding in one or two sentences; shown beside it."""
    task: str = ""
    points: tuple[Mapping[str, Any], ...] = ()
    """Data of its figure: flat records, e.g. {"tokens": …, "value": …, "low": …, "high": …, "line": "base"}."""
