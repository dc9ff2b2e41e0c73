"""Checkpoints that a hub repository keeps as revisions.

    [series.mine]
    kind = "hub"
    model = "EleutherAI/pythia-160m@step0,step[1000,2000],log8"      # core/revisions.py explains the terms
    # optional: tokens_per_step, corpus_tokens, warmup_steps, schedule, parameters; step_of and tokens_of by revision,
    # such as step_of = {main = 738020}

For a repository whose run has a file of its own in this package, the facts of that file apply.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amuro.core.errors import StudyError
from amuro.core.revisions import parse_revision_spec
from amuro.series import llama3_8b, olmo2_1b, olmo_1b, pythia
from amuro.series._hub import OPTIONS, kind_of
from amuro.series._published_run import PublishedRun
from amuro.series.base import Option, known_options

KNOWN = {run.repository: run for module in (llama3_8b, olmo2_1b, olmo_1b, pythia) for run in module.RUNS}
"""Repository → its run, for the runs with a file of their own."""
KEYS = {
    "model": Option("text", "`ORG/NAME@REVISION,…`: a repository and its revisions, `logN` or `all`.", "needed"),
    **OPTIONS,
}
"""Keys of the table of this kind."""


def read(name: str, options: Mapping[str, Any]) -> tuple[PublishedRun, Mapping[str, Any]]:
    """Returns what is known of the repository that `model` names, and the study's table. Raises StudyError on bad
    options.
    """
    known_options(name, options, KEYS)
    if not isinstance(options.get("model"), str):
        raise StudyError(f"series '{name}' names no model", 'say which: model = "ORG/NAME@REVISION"')
    repository = parse_revision_spec(options["model"]).repository
    return KNOWN.get(repository, PublishedRun(repository)), options


SERIES = kind_of("hub", "revisions of any model on the hub", read, KEYS)
