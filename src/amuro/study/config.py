"""TOML ⇄ typed study. Strict: an unknown key is an error that names the nearest known one."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from amuro.core import hub, registry, regular_files, simulator, toml_values
from amuro.core.errors import StudyError, nearest
from amuro.core.limits import Count, Delta, Device, Name, Seed
from amuro.core.types import EvalSet, Task
from amuro.series import load_series_kind
from amuro.series._pretrain_config import TABLE_KEYS
from amuro.study.tables import GROUPS, ROLES, Evaluate, Series, Table, Tune
from amuro.tasks import load_task
from amuro.tasks._custom import OwnTask


class Study(Table):
    """A whole study as its file states it."""

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
    """How tasks are put and scored; `paper` does it as Sun and Dredze did, defects included (docs/protocol.md)."""
    world_seed: Seed = 0
    """Seed of the embedded world that `world:` tasks ask about."""
    bootstrap_seed: Seed = 0
    """Seed of the bootstrap from which some intervals come."""
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
    """Tasks over data of one's own by name, one table each."""
    sources: dict[str, str] = Field({})
    """Task → source, where the task's own source is not to be used (a local copy)."""
    revisions: dict[str, str] = Field({})
    """Task → commit of its data set on the hub. What is not stated here or by the task stands in the lock file."""
    delta: dict[str, Delta] = Field({})
    """Analysis → its smallest effect of interest, where that is not the analysis' own (docs/method.md). State it before
    the data are seen: a verdict is about this number."""
    toy: dict[str, float] = Field({})
    """Simulator parameters of the toy engine."""

    def task(self, name: str) -> Task:
        """A task by name, as this study's protocol puts it: of its own, or shipped. Errors as in `load_task`."""
        if name not in self.tasks:
            return load_task(name, self.protocol)
        if self.protocol != "corrected":
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
        return (*registry.names("tasks"), *self.tasks)

    def _check_tune(self, tune: Tune, place: str) -> None:
        for task in tune.tasks:
            _known("task", task, self._known_tasks, f"{place}.tasks")
            if "train" not in self.task(task).splits:
                raise StudyError(f"{place}.tasks: {task} has no split train", "name a task that can be learned")
        _known("format", tune.format, registry.names("formats"), f"{place}.format")
        for chosen in (*tune.in_domain, *tune.out_of_domain):
            self._refuse_unknown(chosen, f"{place} ({tune.name})")

    def _check_block(self, block: Evaluate, recipes: Sequence[str], place: str) -> None:
        for model in block.models:
            _known("model", model, (*GROUPS, *recipes), f"{place}.models")
        for name in block.formats:
            _known("format", name, registry.names("formats"), f"{place}.formats")
        for chosen in block.sets:
            if chosen not in ROLES:
                self._refuse_unknown(chosen, f"{place}.sets")

    def _refuse_unknown(self, text: str, place: str) -> None:
        parsed = eval_set(text)
        _known("task", parsed.task, self._known_tasks, place)
        splits = tuple(self.task(parsed.task).splits)
        if parsed.split not in splits:
            raise StudyError(
                f"unknown split {parsed.split!r} of task {parsed.task} at {place}",
                cure=f"write TASK/SPLIT with one of: {', '.join(splits)}",
            )


_DATA = "data sets"
"""Key of the lock file that no series can have: a name holds no space."""
_COMMIT = re.compile(r"[0-9a-f]{40}")


_NAMING = ("kind", "format", "formats", "sets", "in_domain", "out_of_domain", "tasks", "metric")
"""Keys whose values name plugins, or modules that hold one."""
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


def eval_set(text: str) -> EvalSet:
    task, _, split = text.partition("/")
    return EvalSet(task, split)


def load(path: Path, **changes: Any) -> Study:
    """Reads a study; `changes` replace top-level keys. Raises `StudyError` with the place and the cure."""
    if not path.is_file():
        known = [str(p) for p in path.parent.glob("*.toml") if p.name != "pyproject.toml"]
        raise StudyError(f"no study at {path}", cure=nearest(str(path), known) or "write one with `amuro init`")
    return _with_lock(parse({**toml_values.toml(path), **changes}, str(path)), lock_path(path))


def modules(path: Path) -> tuple[str, ...]:
    """Dotted names in a study's file, wherever one may stand: modules that are not amuro's and whose code it would run.

    Read off the text: nothing is imported. Raises StudyError where it is no TOML.
    """
    table = toml_values.toml(path) if path.is_file() else {}
    own = table.get("tasks", {})
    return tuple(sorted({name for name in _names(table, False) if _MODULE.fullmatch(name) and name not in own}))


def _names(value: Any, names: bool) -> Iterator[str]:
    """Every text that names a plugin; names: whether this value stands under such a key."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from (key,) if names else ()
            yield from _names(inner, key in _NAMING)
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner, names)
    elif isinstance(value, str) and names:
        yield value.partition("/")[0]


def lock_path(path: Path) -> Path:
    """Beside the study: what its revisions resolved to on first use."""
    return path.with_suffix(".lock")


def lock(study: Study, path: Path) -> Study:
    """Resolves what series and tasks leave to the hub (revisions → commits) and remembers it in the lock file."""
    found = {name: load_series_kind(s.kind).lock(name, s.options) for name, s in study.series.items()}
    locks: dict[str, Any] = {name: dict(pins) for name, pins in found.items() if pins}
    if unpinned := _unpinned(study):
        locks[_DATA] = {
            task: {**at, "commit": study.revisions.get(task) or hub.data_commit(**at)} for task, at in unpinned.items()
        }
    if locks:
        lock_path(path).write_text(json.dumps(locks, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return _with_lock(study, lock_path(path))


def _with_lock(study: Study, path: Path) -> Study:
    if not path.is_file():
        return study
    locks = _read_lock(path)
    series = {n: Series(**{**s.model_dump(), "lock": locks[n]}) if n in locks else s for n, s in study.series.items()}
    known = locks.get(_DATA, {})
    locked = {
        task: known[task]["commit"]
        for task, at in _unpinned(study).items()
        if at.items() <= known.get(task, {}).items() and "commit" in known[task]
    }
    return study.model_copy(update={"series": series, "revisions": {**locked, **study.revisions}})


def _read_lock(path: Path) -> dict[str, dict[str, Any]]:
    cure = "delete it, and it is written anew"
    try:
        locks = json.loads(regular_files.content(path))
    except (OSError, ValueError, RecursionError) as error:
        raise StudyError(f"{path} is not valid JSON: {error}", cure) from error
    if not (_holds_tables(locks) and _holds_tables(locks.get(_DATA, {}))):
        raise StudyError(f"{path} is no lock of a study", cure)
    return dict(locks)


def _holds_tables(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(inner, dict) for inner in value.values())


def _unpinned(study: Study) -> dict[str, dict[str, str]]:
    """Task of the study whose data set the hub may change → its repository and the branch that is read."""
    found = {}
    for name in study.task_names:
        task = study.task(name)
        source = study.sources.get(name, task.source)
        branch = task.revision if source == task.source else None
        if source.startswith("hub:") and not _COMMIT.fullmatch(branch or ""):
            repository, _, _ = hub.parts(source.removeprefix("hub:"))
            found[name] = {"repository": repository, "revision": branch or "main"}
    return found


def parse(table: dict[str, Any], where: str = "study") -> Study:
    """A typed study from plain tables. Raises `StudyError`."""
    toml_values.check(table, where)
    if isinstance(table.get("tune"), list):
        table = {**table, "tune": [_with_recipe(tune, f"tune[{i}]") for i, tune in enumerate(table["tune"])]}
    return _checked(table, where)


def _checked(table: Mapping[str, Any], where: str) -> Study:
    """Strictly: no text for a number, no true for 1. As JSON, where a list may stand for a tuple."""
    try:
        return Study.model_validate_json(json.dumps(table), strict=True)
    except ValidationError as error:
        raise _teach(error, where) from error


def write_first(path: Path) -> None:
    """Writes the commented study of `amuro init`, named after the file. Raises StudyError where it cannot."""
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
    """The nearest name that a study may have: étude 1 → etude-1."""
    plain_letters = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9._-]+", "-", plain_letters).strip("-._")[:64] or "study"


def recipes() -> dict[str, Path]:
    """The shipped recipes by name: files of keys that a [[tune]] table may begin with."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "recipes").glob("*.toml"))}


def _with_recipe(tune: Any, place: str) -> Any:
    """The table with the keys of the recipe that it names; what the table says itself holds."""
    if not isinstance(tune, dict) or "recipe" not in tune:
        return tune
    known = recipes()
    name = str(tune["recipe"])
    if name not in known:
        raise StudyError(f"unknown recipe {toml_values.shown(name)} at {place}", cure=nearest(name, known))
    own = {key: value for key, value in tune.items() if key != "recipe"}
    return {**toml_values.toml(known[name]), **own}


def changed(study: Study, limit: int | None = None, seeds: int | None = None) -> Study:
    """The study with fewer rows a set, or with one number for its world, pre-training and first tuning seed."""
    table = study.model_dump(mode="json")
    for block in table["evaluate"] if limit is not None else ():
        block["limit"] = min(limit, block["limit"])
    if limit is not None:
        table["dev_limit"] = min(limit, table["dev_limit"])
    if seeds is not None:
        _shift_seeds(study, table, seeds)
    return _checked(table, "the study with what the command line changes")


def _shift_seeds(study: Study, table: dict[str, Any], by: int) -> None:
    table["world_seed"] = by
    for tune in (*table["tune"], *table["evaluate"]):
        for key in {"tune_seeds", "replicate_seeds"} & tune.keys():
            tune[key] = [seed + by for seed in tune[key]]
    for name, series in study.series.items():
        if _made_here(series):
            table["series"][name]["pretrain_seed"] = by


def _made_here(series: Series) -> bool:
    return load_series_kind(series.kind).pretraining is not None


def _known(what: str, value: str, known: Sequence[str], place: str) -> None:
    if value not in known and "." not in value:
        raise StudyError(f"unknown {what} {toml_values.shown(value)} at {place}", cure=nearest(value, known))


RECIPE = "recipe"
"""Name of a shipped recipe (`amuro list recipes`): the table begins with its keys, and what it says itself holds."""
_KEYS: Mapping[str, Sequence[str]] = {
    "tune": [*Tune.model_fields, RECIPE],
    "evaluate": list(Evaluate.model_fields),
    "tasks": list(OwnTask.model_fields),
    "series": TABLE_KEYS,
}
"""Key of a study → the keys of its tables."""
RENAMED = {
    "more_seeds": "replicate_seeds",
    "more_seeds_at": "replicate_seeds_at",
    "cue": "answer_prefix",
}
"""Key of an earlier version → today's."""


def _teach(error: ValidationError, where: str) -> StudyError:
    """The first fault as a sentence with its cure; the places of the others behind it."""
    faults = error.errors()
    places = [fault["loc"] for fault in faults]
    first, *others = [f for f in faults if not any(f["loc"] == at[: len(f["loc"])] != at for at in places)]
    place = _place(first)
    also = f" (and {len(others)} more: {', '.join(_place(other) for other in others[:4])})" if others else ""
    if first["type"] == "extra_forbidden":
        known = _KEYS[str(first["loc"][0])] if len(first["loc"]) > 1 else list(Study.model_fields)
        key = str(first["loc"][-1])
        cure = f"it is called {RENAMED[key]} now" if RENAMED.get(key) in known else nearest(key, known)
        return StudyError(f"unknown key {toml_values.shown(key)} at {place} in {where}{also}", cure=cure)
    value = "" if first["type"] == "missing" else f" (found {toml_values.shown(first['input'])})"
    said = first["msg"].removeprefix("Value error, ")
    return StudyError(f"{where}: {place}: {said}{value}{also}", cure="see `amuro init` for a commented study")


def _place(fault: Mapping[str, Any]) -> str:
    return ".".join(str(part) for part in fault["loc"])
