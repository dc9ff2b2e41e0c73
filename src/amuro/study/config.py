"""Reads a study from TOML into typed tables. Strict: an unknown key is an error that names the nearest known key."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from amuro.core import registry, simulator, toml_values
from amuro.core.errors import StudyError, nearest
from amuro.core.limits import Count, Delta, Device, Name, Seed
from amuro.core.types import EvalSet, Task
from amuro.series import load_series_kind
from amuro.series._pretrain_config import TABLE_KEYS
from amuro.study.config_errors import study_error
from amuro.study.lock_file import lock_path, with_lock
from amuro.study.tables import GROUPS, ROLES, Evaluate, Series, Table, Tune
from amuro.tasks import load_task
from amuro.tasks._custom import OwnTask


class Study(Table):
    """A study as its file states it."""

    name: Name
    """Name of the study, in the store and in the report."""
    question: str = ""
    """What the study is to answer; the report begins with it."""
    engine: Literal["torch", "toy"] = "torch"
    """What runs the models; `toy` simulates them without weights, in seconds."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Number format that models are evaluated and tuned in."""
    device: Device = "cpu"
    """Where models run: `cpu`, `cuda`, or one GPU such as `cuda:0`."""
    workers: int = Field(0, ge=0, le=4096)
    """Processes at once, each with one model job at a time; 0 means one per core (or one per device)."""
    protocol: Literal["corrected", "paper"] = "corrected"
    """How prompts are made and scored; `paper` does it as Sun and Dredze did, defects included (docs/protocol.md)."""
    world_seed: Seed = 0
    """Seed of the embedded world from which the rows of `world:` tasks are made."""
    bootstrap_seed: Seed = 0
    """Seed of the bootstrap by which some confidence intervals are computed."""
    shot_seed: Seed = 0
    """Seed that draws the shots of few-shot prompts."""
    dev_limit: Count = 200
    """Most rows of the dev split that are read for calibration, best prompting and the choice of rates."""
    series: dict[Name, Series] = Field(min_length=1)
    """The series of checkpoints by name, one table each."""
    tune: tuple[Tune, ...] = ()
    """The recipes, one table each."""
    evaluate: tuple[Evaluate, ...] = Field(min_length=1)
    """The blocks of the grid, one table each."""
    tasks: dict[Name, OwnTask] = Field({})
    """User-defined tasks by name, one table each."""
    sources: dict[str, str] = Field({})
    """Task → source that replaces the task's own source, for example a local copy."""
    revisions: dict[str, str] = Field({})
    """Task → commit of its data set on the hub. Without it, the task's own revision or the lock file decides."""
    delta: dict[str, Delta] = Field({})
    """Analysis → its smallest effect of interest, where that is not the analysis' own (docs/method.md). State it before
    the data are seen: a verdict is about this number."""
    toy: dict[str, float] = Field({})
    """Simulator parameters of the toy engine."""

    def task(self, name: str) -> Task:
        """Returns a task by name in this study's protocol: user-defined or shipped. Raises the
        errors of `load_task`.
        """
        if name not in self.tasks:
            return load_task(name, self.protocol)
        if self.protocol != "corrected":
            raise StudyError(f"task '{name}' of this study is not in the paper", 'leave protocol = "paper" out')
        return self.tasks[name].task(name)

    @property
    def task_names(self) -> tuple[str, ...]:
        """Names of every task that is tuned on or evaluated, sorted."""
        sets = [text for t in self.tune for text in (*t.in_domain, *t.out_of_domain)]
        sets += [text for block in self.evaluate for text in block.sets if text not in ROLES]
        return tuple(sorted({eval_set(text).task for text in sets} | {name for t in self.tune for name in t.tasks}))

    @model_validator(mode="after")
    def _references(self) -> Study:
        """Checks that every name in the study exists. Raises StudyError with its place and the nearest known name."""
        names = [tune.name for tune in self.tune]
        if len(set(names)) < len(names):
            raise StudyError(f"two [[tune]] tables have the same name: {names}", cure="give each its own name")
        for i, tune in enumerate(self.tune):
            self._check_tune(tune, f"tune[{i}]")
        for i, block in enumerate(self.evaluate):
            self._check_block(block, names, f"evaluate[{i}]")
        for name, series in self.series.items():
            _known("series kind", series.kind, registry.names("series"), f"series.{name}.kind")
        for table in ("sources", "revisions"):
            for task in getattr(self, table):
                _known("task", task, self._known_tasks, table)
        for name in self.delta:
            _known("analysis", name, registry.names("analyses"), "delta")
        simulator.of(self.toy)
        return self

    @property
    def _known_tasks(self) -> tuple[str, ...]:
        """Names of the shipped, installed and user-defined tasks."""
        return (*registry.names("tasks"), *self.tasks)

    def _check_tune(self, tune: Tune, place: str) -> None:
        """Raises StudyError if a recipe names an unknown task, format or set, or a task without train rows."""
        for task in tune.tasks:
            _known("task", task, self._known_tasks, f"{place}.tasks")
            if "train" not in self.task(task).splits:
                raise StudyError(f"{place}.tasks: {task} has no split train", "name a task that can be learned")
        _known("format", tune.format, registry.names("formats"), f"{place}.format")
        for chosen in (*tune.in_domain, *tune.out_of_domain):
            self._refuse_unknown(chosen, f"{place} ({tune.name})")

    def _check_block(self, block: Evaluate, recipes: Sequence[str], place: str) -> None:
        """Raises StudyError if an evaluate block names an unknown model, format or set."""
        for model in block.models:
            _known("model", model, (*GROUPS, *recipes), f"{place}.models")
        for name in block.formats:
            _known("format", name, registry.names("formats"), f"{place}.formats")
        for chosen in block.sets:
            if chosen not in ROLES:
                self._refuse_unknown(chosen, f"{place}.sets")

    def _refuse_unknown(self, text: str, place: str) -> None:
        """Raises StudyError if the task or the split of TASK/SPLIT does not exist."""
        parsed = eval_set(text)
        _known("task", parsed.task, self._known_tasks, place)
        splits = tuple(self.task(parsed.task).splits)
        if parsed.split not in splits:
            raise StudyError(
                f"unknown split {parsed.split!r} of task {parsed.task} at {place}",
                cure=f"write TASK/SPLIT with one of: {', '.join(splits)}",
            )


_PLUGIN_KEYS = ("kind", "format", "formats", "sets", "in_domain", "out_of_domain", "tasks", "metric")
"""Keys whose values name plugins, or modules that define one."""
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


def eval_set(text: str) -> EvalSet:
    """Returns the evaluation set that TASK/SPLIT names; nothing is checked."""
    task, _, split = text.partition("/")
    return EvalSet(task, split)


def load(path: Path, **changes: Any) -> Study:
    """Reads a study and its lock file; `changes` replace top-level keys. Raises `StudyError` with place and cure."""
    if not path.is_file():
        known = [str(p) for p in path.parent.glob("*.toml") if p.name != "pyproject.toml"]
        raise StudyError(f"no study at {path}", cure=nearest(str(path), known) or "write one with `amuro init`")
    return with_lock(parse({**toml_values.toml(path), **changes}, str(path)), lock_path(path))


def modules(path: Path) -> tuple[str, ...]:
    """Returns the dotted names in a study's file, sorted: modules outside amuro whose code the study would run.

    Nothing is imported. Raises StudyError if the file is not valid TOML.
    """
    table = toml_values.toml(path) if path.is_file() else {}
    user_defined = table.get("tasks", {})
    dotted = {name for name in _names(table, False) if _MODULE.fullmatch(name)}
    return tuple(sorted(name for name in dotted if name not in user_defined))


def _names(value: Any, names: bool) -> Iterator[str]:
    """Yields every text that names a plugin. `names`: whether `value` is the value of a key in `_PLUGIN_KEYS`."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from (key,) if names else ()
            yield from _names(inner, key in _PLUGIN_KEYS)
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner, names)
    elif isinstance(value, str) and names:
        yield value.partition("/")[0]


def parse(table: dict[str, Any], where: str = "study") -> Study:
    """Returns the typed study of plain tables. `where` names them in errors. Raises `StudyError`."""
    toml_values.check(table, where)
    if isinstance(table.get("tune"), list):
        table = {**table, "tune": [_with_recipe(tune, f"tune[{i}]") for i, tune in enumerate(table["tune"])]}
    return _checked(table, where)


def _checked(table: Mapping[str, Any], where: str) -> Study:
    """Returns the validated study: strict (no text for a number, no true for 1), via JSON, where a list may be a
    tuple.
    """
    try:
        return Study.model_validate_json(json.dumps(table), strict=True)
    except ValidationError as error:
        raise study_error(error, where, _KEYS) from error


def write_first(path: Path) -> None:
    """Writes the commented study of `amuro init`, named after the file. Raises StudyError if it cannot be written."""
    if path.suffix != ".toml":
        raise StudyError(f"{path} would be no TOML by its name", cure=f"name it {path.stem or 'study'}.toml")
    template = (Path(__file__).parent / "template.toml").read_text(encoding="utf-8")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template.replace("@NAME@", _name_of(path.stem)))
    except FileExistsError as error:
        raise StudyError(f"{path} exists", cure="name another file") from error
    except OSError as error:
        raise StudyError(
            f"cannot write {path}: {error.strerror}", cure="name a file in a folder that exists"
        ) from error


def _name_of(stem: str) -> str:
    """Returns the nearest valid name of a study: étude 1 → etude-1."""
    plain_letters = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9._-]+", "-", plain_letters).strip("-._")[:64] or "study"


def recipes() -> dict[str, Path]:
    """Returns the shipped recipes: name → TOML file whose keys a [[tune]] table starts from."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "recipes").glob("*.toml"))}


def _with_recipe(tune: Any, place: str) -> Any:
    """Returns a [[tune]] table merged over the keys of its recipe. Raises StudyError for an unknown recipe."""
    if not isinstance(tune, dict) or "recipe" not in tune:
        return tune
    known = recipes()
    name = str(tune["recipe"])
    if name not in known:
        raise StudyError(f"unknown recipe {toml_values.shown(name)} at {place}", cure=nearest(name, known))
    overrides = {key: value for key, value in tune.items() if key != "recipe"}
    return {**toml_values.toml(known[name]), **overrides}


def changed(study: Study, limit: int | None = None, seeds: int | None = None) -> Study:
    """Returns the study with at most `limit` rows per set, and with `seeds` as its world and pre-training seed.

    Tuning seeds are shifted by `seeds`: seed k becomes k + seeds.
    """
    table = study.model_dump(mode="json")
    for block in table["evaluate"] if limit is not None else ():
        block["limit"] = min(limit, block["limit"])
    if limit is not None:
        table["dev_limit"] = min(limit, table["dev_limit"])
    if seeds is not None:
        _shift_seeds(study, table, seeds)
    return _checked(table, "the study with what the command line changes")


def _shift_seeds(study: Study, table: dict[str, Any], by: int) -> None:
    """Changes the seeds of a study's plain tables in place; see `changed`."""
    table["world_seed"] = by
    for tune in (*table["tune"], *table["evaluate"]):
        for key in {"tune_seeds", "replicate_seeds"} & tune.keys():
            tune[key] = [seed + by for seed in tune[key]]
    for name, series in study.series.items():
        if _made_here(series):
            table["series"][name]["pretrain_seed"] = by


def _made_here(series: Series) -> bool:
    """Whether amuro pre-trains the series itself."""
    return load_series_kind(series.kind).pretraining is not None


def _known(what: str, value: str, known: Sequence[str], place: str) -> None:
    """Raises StudyError for a name that is not known; dotted names are modules and are looked up on first use."""
    if value not in known and "." not in value:
        raise StudyError(f"unknown {what} {toml_values.shown(value)} at {place}", cure=nearest(value, known))


RECIPE = "recipe"
"""Name of a shipped recipe (`amuro list recipes`): the table starts from its keys and overrides them with its own."""
_KEYS: Mapping[str, Sequence[str]] = {
    "": list(Study.model_fields),
    "tune": [*Tune.model_fields, RECIPE],
    "evaluate": list(Evaluate.model_fields),
    "tasks": list(OwnTask.model_fields),
    "series": TABLE_KEYS,
}
"""Table of a study → its known keys; "" is the top of the file."""
