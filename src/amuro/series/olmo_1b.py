"""OLMo 1B: the checkpoints that the study of arXiv 2408.06663 tunes, or any others of its list.

    [series.olmo]
    kind = "olmo_1b"
    at = "log8,main"        # or steps = [1000, 18000]; the study's seven steps and main unless told, offline

Sources
- Steps: checkpoints/official/OLMo-1B.csv of https://github.com/allenai/OLMo; issue 879 there says that no others exist
  between 117,850 and 330,000. `main` is its last row, step 738,020.
- Revisions `step{N}-tokens{T}B`, such as `step20000-tokens84B` (model card of allenai/OLMo-1B). The token count may be
  left out here.
- 2048 sequences of 2048 tokens a step, warm-up over 2,000 steps, cosine decay: configs/official/OLMo-1B.yaml.
- 1,176,764,416 parameters: 50,304·2,048 (shared by both ends) + 16 layers of 67,108,864, its norms have none; float32.

Not checked: that allenai/OLMo-1B-hf has each row of the CSV as a revision. A third-party copy of the hub's list for
allenai/OLMo-1B begins at step 20,000 and lacks 491,000 and 670,000 ("a few revisions were lost", says its card).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from amuro.series._hub import named
from amuro.series._published_run import PublishedRun
from amuro.series.base import TokenSchedule

THOUSANDS = """
1-5 10-18 20 30 40 50 52-60 63-71 80 90 95-106 110-117 330-337 340 342-350 353-360 364-371 373-381 385-392 397-410
413-420 424-431 436-448 450 452-460 463-470 475-482 486-493 497-505 509-516 520-527 530-538 540 542-550 554-561 565-572
577-584 589-601 605-612 615-624 628-640 650 660 670 680 690 693-701 710 720 730-738
"""
"""Steps that are multiples of 1,000, in thousands, as first-last of each unbroken range."""

BETWEEN = (
    117_850, 337_700, 349_350, 360_850, 371_900, 392_550, 404_150, 420_650, 431_900, 443_400, 459_400, 470_750, 482_050,
    493_050, 504_200, 516_250, 527_150, 538_100, 549_700, 561_250, 572_850, 584_550, 596_100, 612_650, 624_150, 635_850,
    639_650, 738_020,
)  # fmt: skip
"""Steps that are no multiples of 1,000: the ends of the parts in which the run was made."""

PAPER = "step[1000,18000,342000,424000,505000,592000,738000],main"
"""The checkpoints that the paper tunes."""


def _steps() -> Iterator[int]:
    """Yields all documented steps."""
    for stretch in THOUSANDS.split():
        first, _, last = stretch.partition("-")
        yield from (1000 * thousand for thousand in range(int(first), int(last or first) + 1))
    yield from BETWEEN


def _run(repository: str) -> PublishedRun:
    """Returns the run in one of its two repositories."""
    return PublishedRun(
        repository,
        token_schedule=TokenSchedule(4_194_304, None, warmup_steps=2_000, schedule="decay"),
        main_step=738_020,
        parameters=1_176_764_416,
        bytes_per_parameter=4,
        steps=tuple(sorted(_steps())),
    )


RUN = _run("allenai/OLMo-1B-hf")
RUNS = (RUN, _run("allenai/OLMo-1B"))


def pick(name: str, options: Mapping[str, Any]) -> PublishedRun:
    """Returns the run of the converted repository, which transformers loads without code of its own."""
    return RUN


SERIES = named("olmo_1b", "OLMo 1B: the steps of arXiv 2408.06663 and main, or any of its list", pick, PAPER)
