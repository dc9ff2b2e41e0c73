"""TOML ⇄ typed study. Strict: an unknown key is an error that names the nearest known one."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from amuro import catalog, hub_client
from amuro.errors import StudyError, nearest
from amuro.own_task import OwnTask
from amuro.types import EvalSet, Task

NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"
Name = Annotated[str, Field(pattern=NAME)]
ROLES = ("in_domain", "out_of_domain")


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Series(BaseModel):
    """One pre-training run. Keys besides `kind` are the member's own (`amuro list series`)."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str
    """A file name of `series/`: world, text, folder, hub, pythia, olmo_1b …"""
    allow_duplicates: bool = False
    """Accept two checkpoints with equal weights (Pythia's step 0 equals its step 1)."""
    allow_known_bad: bool = False
    """Accept checkpoints that the table of known-bad revisions or the series audit refuses (docs/series.md)."""

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Tune(_Table):
    """A recipe, the checkpoints that it is applied to, and what is in and out of its domain."""

    name: Name
    tasks: dict[str, float]
    """Task → weight in the mixture. A list of names means equal weights."""
    rows: int = Field(6000, gt=0)
    """Training examples a run, drawn once by `row_seed`."""
    epochs: int = Field(3, gt=0)
    learning_rate: tuple[float, ...]
    """One rate, or a list: the best on the dev split, chosen for each checkpoint."""
    batch_size: int = Field(8, gt=0)
    format: str = "default"
    method: Literal["full", "lora"] = "full"
    warmup_ratio: float = Field(0.03, ge=0, lt=1)
    schedule: Literal["linear", "constant"] = "linear"
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    max_length: int = Field(2048, gt=1)
    weighting: Literal["token", "example"] = "token"
    row_seed: int = 42
    lora_rank: int = Field(16, gt=0)
    lora_alpha: int = Field(32, gt=0)
    """Adapters are scaled by alpha / rank."""
    tune_seeds: tuple[int, ...] = (0,)
    more_seeds: tuple[int, ...] = ()
    """Further tuning seeds, run only at the steps in `more_seeds_at`."""
    more_seeds_at: tuple[int, ...] = ()
    checkpoints: tuple[int, ...] = ()
    """Steps; empty means every checkpoint of every series."""
    in_domain: tuple[str, ...] = ()
    out_of_domain: tuple[str, ...] = ()

    @field_validator("tasks", mode="before")
    @classmethod
    def _equal_weights(cls, value: Any) -> Any:
        return dict.fromkeys(value, 1.0) if isinstance(value, list) else value

    @field_validator("learning_rate", mode="before")
    @classmethod
    def _one_rate(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int | float) else value

    @field_validator("learning_rate")
    @classmethod
    def _different_rates(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(value)) < len(value):
            raise ValueError(f"learning_rate names a rate twice: {list(value)}")
        return value


class Evaluate(_Table):
    """A block of the grid: every named model × set × format × number of shots."""

    models: tuple[str, ...]
    """`base`, `tuned`, or names of recipes."""
    sets: tuple[str, ...]
    """TASK/SPLIT, or a role: `in_domain` and `out_of_domain` mean those of each recipe."""
    formats: tuple[str, ...] = ("default",)
    shots: tuple[int, ...] = (0,)
    limit: int = Field(500, gt=0)
    """Rows at the most; the first ones of the split."""
    checkpoints: tuple[int, ...] = ()
    tune_seeds: tuple[int, ...] = ()
    """Only these tuning seeds; empty means all."""


class Study(_Table):
    """A whole study as its file states it."""

    name: Name
    question: str = ""
    engine: Literal["torch", "toy"] = "torch"
    precision: Literal["float32", "bfloat16"] = "float32"
    device: str = "cpu"
    workers: int = Field(0, ge=0)
    """Live processes, one visit each at a time; 0 means one a core (or one a device)."""
    protocol: Literal["sound", "paper"] = "sound"
    """`paper` words, draws and scores as Sun and Dredze did, defects included (docs/protocol.md)."""
    world_seed: int = 0
    """Seed of the embedded world that `world:` tasks ask about."""
    bootstrap_seed: int = 0
    shot_seed: int = 0
    dev_limit: int = Field(200, gt=0)
    """Rows of the dev split for calibration, best readout and the choice of rates."""
    series: dict[Name, Series]
    tune: tuple[Tune, ...] = ()
    evaluate: tuple[Evaluate, ...]
    tasks: dict[Name, OwnTask] = {}
    """Tasks over data of one's own (`own_task.py` shows the keys)."""
    sources: dict[str, str] = {}
    """Task → source, where the task's own source is not to be used (a local copy)."""
    revisions: dict[str, str] = {}
    """Task → commit of its data set on the hub. What is not stated here or by the task stands in the lock file."""
    toy: dict[str, float] = {}
    """Dials of the toy engine."""

    def task(self, name: str) -> Task:
        """A task by name, as this study's protocol puts it: of its own, or of the shelf. Errors as `catalog.task`."""
        if name not in self.tasks:
            return catalog.task(name, self.protocol)
        if self.protocol != "sound":
            raise StudyError(f"task '{name}' of this study is not in the paper", 'leave protocol = "paper" out')
        return self.tasks[name].task(name)

    @property
    def task_names(self) -> tuple[str, ...]:
        """Every task that is tuned on or asked."""
        sets = [text for t in self.tune for text in (*t.in_domain, *t.out_of_domain)]
        sets += [text for block in self.evaluate for text in block.sets if text not in ROLES]
        return tuple(sorted({eval_set(text).task for text in sets} | {name for t in self.tune for name in t.tasks}))

    @model_validator(mode="after")
    def _references(self) -> Study:
        known = (*catalog.names("tasks"), *self.tasks)
        for i, tune in enumerate(self.tune):
            for task in tune.tasks:
                _known("task", task, known, f"tune[{i}].tasks")
            _known("format", tune.format, catalog.names("formats"), f"tune[{i}].format")
            for eval_set in (*tune.in_domain, *tune.out_of_domain):
                self._refuse_unknown(eval_set, f"tune[{i}] ({tune.name})")
        names = [tune.name for tune in self.tune]
        if len(set(names)) < len(names):
            raise StudyError(f"two [[tune]] tables have the same name: {names}", cure="give each its own name")
        for i, block in enumerate(self.evaluate):
            for model in block.models:
                _known("model", model, ("base", "tuned", *names), f"evaluate[{i}].models")
            for name in block.formats:
                _known("format", name, catalog.names("formats"), f"evaluate[{i}].formats")
            for eval_set in block.sets:
                if eval_set not in ROLES:
                    self._refuse_unknown(eval_set, f"evaluate[{i}].sets")
        for name, series in self.series.items():
            _known("series kind", series.kind, catalog.names("series"), f"series.{name}.kind")
        return self

    def _refuse_unknown(self, text: str, place: str) -> None:
        parsed = eval_set(text)
        _known("task", parsed.task, (*catalog.names("tasks"), *self.tasks), place)
        splits = tuple(self.task(parsed.task).splits)
        if parsed.split not in splits:
            raise StudyError(
                f"unknown split {parsed.split!r} of task {parsed.task} at {place}",
                cure=f"write TASK/SPLIT with one of: {', '.join(splits)}",
            )


_DATA = "data sets"
"""Key of the lock file that no series can have: a name holds no space."""
_COMMIT = re.compile(r"[0-9a-f]{40}")


def eval_set(text: str) -> EvalSet:
    task, _, split = text.partition("/")
    return EvalSet(task, split)


def load(path: Path, **changes: Any) -> Study:
    """Reads a study; `changes` replace top-level keys. Raises `StudyError` with the place and the cure."""
    if not path.is_file():
        known = [str(p) for p in path.parent.glob("*.toml") if p.name != "pyproject.toml"]
        raise StudyError(f"no study at {path}", cure=nearest(str(path), known) or "write one with `amuro init`")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} is not valid TOML: {error}", cure="mend the line it names") from error
    return _with_lock(parse({**table, **changes}, str(path)), lock_path(path))


def lock_path(path: Path) -> Path:
    """Beside the study: what its revisions resolved to on first use."""
    return path.with_suffix(".lock")


def lock(study: Study, path: Path) -> Study:
    """Resolves what series and tasks leave to the hub (revisions → commits) and remembers it in the lock file."""
    found = {name: catalog.series(s.kind).lock(name, s.options) for name, s in study.series.items()}
    locks: dict[str, Any] = {name: dict(pins) for name, pins in found.items() if pins}
    if unpinned := _unpinned(study):
        locks[_DATA] = {
            task: {**at, "commit": study.revisions.get(task) or hub_client.data_commit(**at)}
            for task, at in unpinned.items()
        }
    if locks:
        lock_path(path).write_text(json.dumps(locks, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return _with_lock(study, lock_path(path))


def _with_lock(study: Study, path: Path) -> Study:
    if not path.is_file():
        return study
    try:
        locks = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StudyError(f"{path} is not valid JSON: {error}", cure="delete it, and it is written anew") from error
    series = {n: Series(**{**s.model_dump(), "lock": locks[n]}) if n in locks else s for n, s in study.series.items()}
    known = locks.get(_DATA, {})
    locked = {
        task: known[task]["commit"]
        for task, at in _unpinned(study).items()
        if at.items() <= known.get(task, {}).items()
    }
    return study.model_copy(update={"series": series, "revisions": {**locked, **study.revisions}})


def _unpinned(study: Study) -> dict[str, dict[str, str]]:
    """Task of the study whose data set the hub may change → its repository and the branch that is read."""
    found = {}
    for name in study.task_names:
        task = study.task(name)
        source = study.sources.get(name, task.source)
        branch = task.revision if source == task.source else None
        if source.startswith("hub:") and not _COMMIT.fullmatch(branch or ""):
            repository, _, _ = hub_client.parts(source.removeprefix("hub:"))
            found[name] = {"repository": repository, "revision": branch or "main"}
    return found


def parse(table: dict[str, Any], where: str = "study") -> Study:
    """A typed study from plain tables. Raises `StudyError`."""
    table = {**table, "sources": {k: os.path.expandvars(v) for k, v in table.get("sources", {}).items()}}
    if isinstance(table.get("tune"), list):
        table["tune"] = [_with_recipe(tune, f"tune[{i}]") for i, tune in enumerate(table["tune"])]
    try:
        return Study.model_validate(table)
    except ValidationError as error:
        raise _teach(error, where) from error


def recipes() -> dict[str, Path]:
    """The shipped recipes by name: files of keys that a [[tune]] table may begin with."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "recipes").glob("*.toml"))}


def _with_recipe(tune: Any, place: str) -> Any:
    """The table with the keys of the recipe that it names; what the table says itself holds."""
    if not isinstance(tune, dict) or "recipe" not in tune:
        return tune
    known = recipes()
    if tune["recipe"] not in known:
        raise StudyError(f"unknown recipe {tune['recipe']!r} at {place}", cure=nearest(str(tune["recipe"]), known))
    own = {key: value for key, value in tune.items() if key != "recipe"}
    return {**tomllib.loads(known[tune["recipe"]].read_text(encoding="utf-8")), **own}


def changed(study: Study, limit: int | None = None, seeds: int | None = None) -> Study:
    """The study with fewer rows a set, or with one number for its world, pre-training and first tuning seed."""
    changes: dict[str, Any] = {}
    if limit is not None:
        changes["evaluate"] = tuple(b.model_copy(update={"limit": min(limit, b.limit)}) for b in study.evaluate)
        changes["dev_limit"] = min(limit, study.dev_limit)
    if seeds is not None:
        changes["world_seed"] = seeds
        changes["tune"] = tuple(
            t.model_copy(
                update={"tune_seeds": _shifted(t.tune_seeds, seeds), "more_seeds": _shifted(t.more_seeds, seeds)}
            )
            for t in study.tune
        )
        changes["evaluate"] = tuple(
            b.model_copy(update={"tune_seeds": _shifted(b.tune_seeds, seeds)})
            for b in changes.get("evaluate", study.evaluate)
        )
        changes["series"] = {
            name: Series(**{**series.model_dump(), "pretrain_seed": seeds}) if _made_here(series) else series
            for name, series in study.series.items()
        }
    return study.model_copy(update=changes)


def _made_here(series: Series) -> bool:
    return catalog.series(series.kind).pretraining is not None


def _shifted(tune_seeds: tuple[int, ...], by: int) -> tuple[int, ...]:
    return tuple(tune_seed + by for tune_seed in tune_seeds)


def _known(what: str, value: str, known: tuple[str, ...] | list[str], place: str) -> None:
    if value not in known and "." not in value:
        raise StudyError(f"unknown {what} {value!r} at {place}", cure=nearest(value, known))


_MODELS: dict[str, type[BaseModel]] = {"tune": Tune, "evaluate": Evaluate, "tasks": OwnTask}


def _teach(error: ValidationError, where: str) -> StudyError:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        table = _MODELS.get(str(first["loc"][0]), Study) if len(first["loc"]) > 1 else Study
        key = str(first["loc"][-1])
        return StudyError(f"unknown key {key!r} at {place} in {where}", cure=nearest(key, list(table.model_fields)))
    value = "" if first["type"] == "missing" else f" (found {first['input']!r})"
    return StudyError(f"{where}: {place}: {first['msg']}{value}", cure="see `amuro init` for a commented study")
