"""What keeps the project in order: one version, small files, pages for newcomers that are true."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import amuro
from scripts import large_files

ROOT = Path(__file__).parents[1]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_one_version_everywhere() -> None:
    """`amuro.__version__`, the package, the citation and the newest section of the changelog name one version."""
    newest = re.search(r"^## (\d\S*)", read("CHANGELOG.md"), re.MULTILINE)
    assert newest is not None
    assert tomllib.loads(read("pyproject.toml"))["project"]["version"] == amuro.__version__ == newest[1]
    assert f"\nversion: {amuro.__version__}\n" in read("CITATION.cff")


def test_the_changelog_has_its_form() -> None:
    """Each version has headings of Keep a Changelog only, each once and with at least one line."""
    for version in re.split(r"^## ", read("CHANGELOG.md"), flags=re.MULTILINE)[1:]:
        heads = re.findall(r"^### (.+)\n\n- ", version, re.MULTILINE)
        assert heads == re.findall(r"^### (.+)$", version, re.MULTILINE)
        assert heads == [head for head in ("Added", "Changed", "Removed", "Fixed") if head in heads]


def test_every_path_of_the_contributing_page_exists() -> None:
    """At least ten questions are answered by a file or folder of the source, and all that it names are there."""
    rows = re.findall(r"^\| (.+\?) \| (.+) \|$", read("CONTRIBUTING.md"), re.MULTILINE)
    assert len(rows) >= 10
    for question, answer in rows:
        named = [path for path in re.findall(r"`([^`]+)`", answer) if "NAME" not in path]
        assert named, question
        assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "README.md", "docs/extend.md", "docs/api.md"])
def test_links_of_the_pages_lead_somewhere(page: str) -> None:
    """Each relative link of a page for newcomers leads to a file."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", read(page))
    assert links
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_the_contributing_page_is_one_screen() -> None:
    """It has at most fifty lines."""
    assert len(read("CONTRIBUTING.md").splitlines()) <= 50


def test_the_glossary_has_each_term_once_in_order() -> None:
    """Its rows are alphabetical, no term stands twice, and each has one sentence and a word on its use."""
    rows = [line.split(" | ") for line in read("docs/glossary.md").splitlines() if line.startswith("| ")][1:]
    terms = [re.sub(r"[^a-z ]", "", re.sub(r"[_-]", " ", row[0].lower())).strip() for row in rows]
    assert terms == sorted(set(terms))
    assert len(terms) > 100
    for row in rows:
        assert len(row) == 3
        assert row[1].endswith(".")
        assert row[2].strip("| ")


def test_a_large_file_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file over 200 kB is named with its size, as are none that are smaller, allowed, or gone."""
    monkeypatch.chdir(tmp_path)
    allowed = Path("studies", large_files.ALLOWED[0])
    allowed.parent.mkdir(parents=True)
    for path, size in ((Path("large.bin"), 200_001), (Path("small.bin"), 200_000), (allowed, 300_000)):
        path.write_bytes(bytes(size))
    found = large_files.too_large(["large.bin", "small.bin", str(allowed), "gone.bin"])
    assert found == ["large.bin has 200 kB; leave it out of git, or make it smaller than 200 kB"]
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "large_files.py", "large.bin"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.strip()) == (1, found[0])


def test_hooks_call_what_the_environment_has() -> None:
    """Every hook for pre-commit is local and runs a tool of the project's environment or a script that exists."""
    hooks = read(".pre-commit-config.yaml")
    entries = [line.split()[1:] for line in hooks.splitlines() if line.strip().startswith("entry:")]
    assert re.findall(r"repo: (\S+)", hooks) == ["local"]
    assert {Path(entry[0]).name for entry in entries} == {"ruff", "python"}
    assert [entry[1] for entry in entries if entry[0].endswith("python") and not (ROOT / entry[1]).is_file()] == []
