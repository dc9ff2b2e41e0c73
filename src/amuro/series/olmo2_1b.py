"""OLMo 2 1B: one checkpoint each 10,000 steps of its first stage, and the final weights.

    [series.olmo2]
    kind = "olmo2_1b"
    at = "stage1-log8,main"     # or steps = [10000, 100000]; eight log-spaced steps of stage 1 unless told, offline

Sources
- Revisions `stage1-step{N}-tokens{T}B` and `stage2-ingredient{K}-step{N}-tokens{T}B`, such as
  `stage1-step140000-tokens294B`, T rounded up (model card of allenai/OLMo-2-0425-1B; documentation of OLMo 2 in
  transformers). The token count may be left out here.
- Steps of stage 1: configs/official-0425/OLMo-2-0425-1B.csv of https://github.com/allenai/OLMo; its issue 840 says that
  none lie closer.
- 512 sequences of 4,096 tokens a step, warm-up over 8,388,608,000 tokens, cosine decay:
  configs/official-0425/OLMo2-1B-stage1.yaml. One pass over 3.9 trillion tokens (model card).
- `main` is ingredient 3 of stage 2, unmerged (model card): 23,852 further steps, at the end of which the rate is 0.
  Steps are counted through: 1,907,359 + 23,852.
- 1,484,916,736 parameters: 2·100,352·2,048 + 16 layers of 67,117,056 + 2,048, from the same configuration; float32.

Not checked: that the hub has each row of the CSV. A third-party script loads `stage1-step0-tokens0B`,
`stage1-step10000-tokens21B` and others by these names. The earlier checkpoints of allenai/OLMo-2-0425-1B-early-training
are another run's and not part of this series.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amuro.series._hub import named
from amuro.series._published_run import PublishedRun
from amuro.series.base import TokenSchedule

STAGE_1, STAGE_2 = 1_907_359, 23_852
"""Steps of each stage."""

RUN = PublishedRun(
    repository="allenai/OLMo-2-0425-1B",
    token_schedule=TokenSchedule(2_097_152, 3_900_000_000_000, warmup_steps=4_000, schedule="decay"),
    main_step=STAGE_1 + STAGE_2,
    parameters=1_484_916_736,
    bytes_per_parameter=4,
    steps=tuple(sorted((0, 300, 23_100, 66_200, STAGE_1, *range(10_000, 1_900_001, 10_000)))),
    stage="stage1",
    steps_before={f"stage2-ingredient{i}": STAGE_1 for i in (1, 2, 3)},
    annealed_step=STAGE_1 + STAGE_2,
)
RUNS = (RUN,)


def pick(name: str, options: Mapping[str, Any]) -> PublishedRun:
    """Returns the only run."""
    return RUN


SERIES = named("olmo2_1b", "OLMo 2 1B, each 10,000 steps of stage 1, and main", pick, "stage1-log8")
