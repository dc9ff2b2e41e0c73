"""Question generation from TweetQA (Xiong et al. 2019): a tweet and an answer in, the question out.

Out of the domain of SocialIQA question generation.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from amuro.core.errors import DataError
from amuro.core.hashing import digest
from amuro.core.text import single_spaced
from amuro.core.types import Example, Size, Task
from amuro.data import columns
from amuro.tasks import _families, _paper


def example(row: Mapping[str, Any]) -> Example:
    """Row of `ucsbnlp/tweet_qa`: Question, Answer (a list; the first is shown), Tweet, qid."""
    tweet = single_spaced(row["Tweet"])
    inputs = {"context": tweet, "reply": single_spaced(_answer(row))}
    return Example(str(row["qid"]), digest(tweet)[:12], inputs, single_spaced(row["Question"]))


def _paper_example(row: Mapping[str, Any]) -> Example:
    inputs = {"context": row["Tweet"], "reply": _answer(row)}
    return Example(str(row["qid"]), digest(single_spaced(row["Tweet"]))[:12], inputs, row["Question"])


def _answer(row: Mapping[str, Any]) -> str:
    if not row["Answer"]:
        raise DataError("there is no answer", "the test split of TweetQA is hidden: ask its validation split")
    return columns.text(row, "Answer.0")


_SOUND = Task(
    name="tweetqa_question",
    # The Parquet export of the hub; main holds a loading script.
    source="hub:ucsbnlp/tweet_qa/default",
    revision="refs/convert/parquet",
    example=example,
    cluster="tweet",
    # The hub's test split is hidden. Dev comes from train, so that test is the whole labelled validation split.
    splits={"train": "train[500:]", "dev": "train[:500]", "test": "validation"},
    licence="CC-BY-SA-4.0",
    page="https://huggingface.co/datasets/ucsbnlp/tweet_qa",
    size=Size(
        rows={"train": 10_192, "dev": 500, "test": 1_086},
        prompt_tokens=55,
        answer_tokens=10,
        megabytes=2,
        source="data set card (rows); lengths and megabytes assumed",
    ),
    **_families.QUESTION,
)

TASK = replace(
    _SOUND,
    paper=_paper.tuned(
        _SOUND,
        rows={"test": 10_692},
        example=_paper_example,
        splits={"test": "train"},
        templates={
            "default": "### Input: {context}\n ### Answer: {reply}\n ### Question: ",
            "instruct": "Given the context: {context} And the answer: {reply}Generate a suitable question: ",
        },
    ),
)
