"""The pages' code is run as a reader would run it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```(?P<language>\w+)(?: (?P<path>\S+))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[tuple[str, str | None, str]]:
    """(language, file name or None, text) of every fenced block of a page."""
    found = BLOCK.finditer((DOCS / page).read_text(encoding="utf-8"))
    return [(block["language"], block["path"], block["text"]) for block in found]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A reader's folder with the rows that the page speaks of: 60 speakers, each in both splits of the day."""
    for split, rows in (("train", 160), ("test", 120)):
        path = tmp_path / "my_lab" / "data" / f"{split}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        times = ["morning" if i % 2 else "evening" for i in range(rows)]
        lines = [
            {"id": f"{split}{i}", "speaker": f"speaker {i % 60}", "words": f"good {time} to you {i}", "time": time}
            for i, time in enumerate(times)
        ]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def run(folder: Path, *command: str) -> str:
    """Runs a command of the page in the reader's folder; its own path holds the console scripts of this Python."""
    scripts = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def test_extending_by_one_file_works_as_the_page_says(folder: Path) -> None:
    """Every file block is written, every command and script of the page runs, in the page's order and without edits."""
    said = []
    for language, path, text in blocks("extend.md"):
        if path is not None:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        elif language == "console":
            said += [run(folder, "bash", "-c", line.removeprefix("$ ")) for line in text.splitlines()]
        elif language == "python":
            said.append(run(folder, sys.executable, "-c", text))
    assert len(said) == 9
    assert "on my_lab.tasks.greeting changes accuracy on my_lab.tasks.greeting/test" in "".join(said)
    assert (folder / "amuro-results" / "greetings" / "report.html").is_file()
    assert {path.name for path in (folder / "amuro-results" / "greetings" / "export").iterdir()} == {
        "headlines.txt", "summary.md"
    }  # fmt: skip


def test_the_row_on_the_page_is_one_of_the_task(folder: Path) -> None:
    """The row shown as JSON has the fields that the task reads."""
    shown = [json.loads(text) for language, _, text in blocks("extend.md") if language == "json"]
    kept = json.loads((folder / "my_lab" / "data" / "train.jsonl").read_text().splitlines()[0])
    assert [set(row) for row in shown] == [set(kept)]
