"""A study over forty rows of its own, for the toy engine: whole runs in real processes take a second."""

from __future__ import annotations

import json
from pathlib import Path

HEAD = """
name = "small"
engine = "toy"
dev_limit = 5
[series.toy]
kind = "toy"
steps = [10, 1000, 3000, 10000]
[tasks.mood]
source = "file:{folder}"
fields = {{ text = "Text" }}
answer = "label"
answers = {{ "0" = "bad", "1" = "fine" }}
answer_prefix = "Mood:"
splits = {{ train = "train", dev = "dev", test = "test" }}
[[evaluate]]
models = ["base", "tuned"]
sets = ["mood/test"]
limit = 5
formats = ["default", "instruct", "input_output"]
"""

TUNE = """
[[tune]]
name = "mood"
tasks = ["mood"]
rows = 8
epochs = 1
learning_rate = [1e-3, 1e-2]
in_domain = ["mood/test"]
"""


def write(folder: Path, more: str = "", rows: int = 40) -> Path:
    """The study's file beside its rows: 24 cells of four bases; `more` is TOML behind it, such as `TUNE`."""
    folder.mkdir(exist_ok=True)
    for split in ("train", "dev", "test"):
        lines = [{"id": f"{split}{i}", "text": f"{split} number {i}", "label": i % 2} for i in range(rows)]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    path = folder / "small.toml"
    path.write_text(HEAD.format(folder=folder) + more, encoding="utf-8")
    return path
