"""Names → members, by file name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from amuro.core import registry
from amuro.core.errors import StudyError
from amuro.series import load_series_kind
from amuro.tasks import load_task


def test_a_member_is_found_by_the_name_of_its_file() -> None:
    """Proves that the catalog imports a member and that the member bears the name of its file."""
    assert "toy" in registry.names("series")
    assert load_series_kind("toy").name == "toy"


@pytest.mark.parametrize("shelf", sorted(registry.SHELVES))
def test_every_file_of_a_shelf_holds_its_constant(shelf: str) -> None:
    """Proves for each shelf that all its files can be imported and hold a member of the file's name."""
    for name in registry.names(shelf):
        assert registry.member(shelf, name).name == name


@pytest.mark.parametrize(
    ("look", "message"),
    [
        (lambda: load_series_kind("toi"), "unknown name 'toi' among series; did you mean 'toy'?"),
        (lambda: registry.names("task"), "there is no shelf 'task'; did you mean 'tasks'?"),
        (lambda: load_task("no_such_lab.tasks.hate"), "there is no module 'no_such_lab.tasks.hate'; "),
        (lambda: load_task("amuro.core.errors"), "amuro.core.errors has no TASK; a file for tasks holds its "),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(look: object, message: str) -> None:
    """Proves that each way to miss a member ends in one sentence that names the miss and the cure."""
    with pytest.raises(StudyError) as caught:
        look()  # type: ignore[operator]
    assert str(caught.value).startswith(message)


def test_a_dotted_name_reaches_the_folder_that_one_stands_in(tmp_path: Path) -> None:
    """Proves that a member outside the package is found from the current folder, as a console script runs."""
    (tmp_path / "my_lab").mkdir()
    (tmp_path / "my_lab" / "steps.py").write_text("SERIES = 'mine'\n")
    code = (
        "import sys; sys.path.remove(''); from amuro.core import registry; "
        "print(registry.member('series', 'my_lab.steps'))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "mine"


def test_a_missing_package_of_a_member_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proves that a member whose own import fails is not reported as unknown."""
    (tmp_path / "needy").mkdir()
    (tmp_path / "needy" / "task.py").write_text("import no_such_package_at_all\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(StudyError, match=r"needy\.task needs the package 'no_such_package_at_all'; install it"):
        load_task("needy.task")


def test_a_member_that_does_not_run_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proves that a mistake in a stranger's file ends in one sentence that names file and mistake."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    (tmp_path / "rash_lab").mkdir()
    faults = {"torn": ("TASK = (", "SyntaxError: "), "rash": ("TASK = 1 / 0", "ZeroDivisionError: division by zero")}
    for name, (text, fault) in faults.items():
        (tmp_path / "rash_lab" / f"{name}.py").write_text(text)
        with pytest.raises(StudyError) as caught:
            load_task(f"rash_lab.{name}")
        assert str(caught.value).startswith(f"rash_lab.{name} cannot be imported ({fault}")


def test_listing_imports_no_member() -> None:
    """Proves that names are listed without importing torch, polars or any member."""
    code = (
        "import sys; from amuro.core import registry; [registry.names(shelf) for shelf in registry.SHELVES]; "
        "print([m for m in sys.modules if m in ('torch', 'polars') or m.startswith('amuro.series.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
