"""What `import amuro` offers to people outside: few names, quick to import, and a study from Python."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from small_study import TUNE, write

import amuro
from amuro.cli import options
from amuro.core.errors import DataError, StudyError
from amuro.results.analyze import results
from amuro.study import config, plan
from amuro.study.store import Store
from scripts import api

ROOT = Path(__file__).parents[1]
HEAVY = "sorted({'torch', 'transformers', 'polars', 'numpy', 'pydantic'} & set(sys.modules))"


def fresh(code: str) -> str:
    """What a new process prints."""
    command = [sys.executable, "-c", f"import sys, time\n{code}"]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()


def test_import_amuro_is_quick_and_loads_nothing_heavy() -> None:
    """In a new process it takes less than .2 s of CPU time (the least of three) and imports no torch and no polars."""
    code = f"at = time.process_time(); import amuro; print(time.process_time() - at, {HEAVY})"
    seconds, loaded = zip(*(fresh(code).split(" ", 1) for _ in range(3)), strict=True)
    assert min(map(float, seconds)) < 0.2
    assert set(loaded) == {"[]"}


def test_every_name_is_the_object_where_it_lives() -> None:
    """`__all__`, the imports for type checkers and the lazy table hold the same names, and each one is there."""
    tree = ast.parse((ROOT / "src" / "amuro" / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {(node.module, name.name) for node in block.body if isinstance(node, ast.ImportFrom) for name in node.names}
    assert typed == {(module, name) for name, module in amuro._MODULE_OF.items()}
    assert sorted(amuro.__all__) == sorted(amuro._MODULE_OF)
    assert set(amuro.__all__) <= set(dir(amuro))
    for name, module in amuro._MODULE_OF.items():
        found = getattr(amuro, name)
        assert (found.__module__, found.__qualname__) == (module, name)


def test_a_name_that_is_not_there_is_refused_with_those_that_are() -> None:
    """An unknown attribute raises AttributeError, as of any module, and says what there is."""
    assert not hasattr(amuro, "no_such_name")
    with pytest.raises(AttributeError, match="no attribute 'Taks'; its names are AmuroError, Analysis"):
        _ = amuro.Taks


def test_a_study_is_planned_run_and_read_from_python(tmp_path: Path) -> None:
    """The facade plans, fills and reads what the modules behind it do; a second run finds nothing to do."""
    path, folder = write(tmp_path / "rows", TUNE), tmp_path / "store"
    study = amuro.load(path, folder)
    with pytest.raises(DataError, match="no cell of study small is finished"):
        _ = study.findings
    events: list[str] = []
    outcome = study.run(lambda event: events.append(event["event"]))
    assert outcome.filled == len(study.plan().cells)
    assert not outcome.failed
    assert "cell" in events
    direct = results(plan.make(config.load(path)), Store(folder))
    assert study.findings == direct.findings
    assert study.scores.equals(direct.evidence.scores)
    assert study.items.equals(direct.evidence.items)
    assert study.run().filled == 0


def test_results_are_read_again_after_a_run(tmp_path: Path) -> None:
    """A handle that has read a part of the study reads the rest once it was filled."""
    path, folder = write(tmp_path / "rows", TUNE), tmp_path / "store"
    base = write(tmp_path / "base")
    base.write_text(path.read_text(encoding="utf-8").replace('"base", "tuned"', '"base"'), encoding="utf-8")
    amuro.load(base, folder).run()
    study = amuro.load(path, folder)
    before = study.scores.height
    study.run()
    assert study.scores.height > before > 0


def test_load_has_the_options_and_the_store_of_the_command_line(tmp_path: Path) -> None:
    """The keywords change the study as `--limit`, `--device`, `--dtype` and `--seed` do; the store is the same."""
    path = write(tmp_path / "rows", TUNE)
    study = amuro.load(path, limit=3, device="cuda", dtype="bfloat16", seed=7)
    assert study.plan() == options.planned(path, 3, "cuda", "bfloat16", 7)
    assert inspect.signature(amuro.load).parameters["store"].default == options.DEFAULT_STORE
    assert study.store == options.DEFAULT_STORE.resolve()


def test_load_refuses_what_is_no_study(tmp_path: Path) -> None:
    """A missing file is refused by `load` itself, with a cure, and not later."""
    with pytest.raises(StudyError, match=r"no study at .*nothing\.toml; "):
        amuro.load(tmp_path / "nothing.toml")


def test_planning_loads_no_torch(tmp_path: Path) -> None:
    """In a new process a plan of a study is made without importing torch or transformers."""
    path = write(tmp_path / "rows", TUNE)
    said = fresh(f"import amuro\nprint(len(amuro.load({str(path)!r}).plan().cells), 'torch' in sys.modules)")
    cells, torch = said.split()
    assert int(cells) > 24
    assert torch == "False"


def test_the_page_of_the_interface_is_what_the_script_makes() -> None:
    """docs/api.md holds today's names, signatures and docstrings; where not: python scripts/api.py."""
    assert api.PAGE.read_text(encoding="utf-8") == api.page()
