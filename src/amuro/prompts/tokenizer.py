"""Text → token ids. The one encoder: training, shots and scoring call the same two functions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from amuro.core.errors import DataError, WeightsError
from amuro.core.tokenizer_files import around_remarks, ending
from amuro.core.weights import TOKENIZER

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True, eq=False)
class Encoder:
    """A tokenizer with its policy for the beginning and the end of a text.

    Text is text: what reads like a special token is encoded by its letters. Padding and truncation that a
    `tokenizer.json` was saved with change nothing.
    """

    tokenizer: Tokenizer
    bos: tuple[int, ...]
    """What the tokenizer itself puts before a text (its post-processor), often nothing; never what it puts behind."""
    eos: int
    """Learned behind every answer; it ends a generation."""
    other_ends: frozenset[int] = frozenset()
    """More ids that end a generation."""
    remarks: tuple[str, ...] = ()
    """Where the checkpoint's files, or other readers of them, disagree."""

    def __post_init__(self) -> None:
        _let_alone(self.tokenizer)

    @property
    def ends(self) -> frozenset[int]:
        """All ids that end a generation."""
        return self.other_ends | {self.eos}

    @classmethod
    def from_folder(cls, folder: Path, words: Path | None = None) -> Encoder:
        """Of a checkpoint: its `tokenizer.json`, and the ends of a text as `tokenizer_files` finds them.

        words: the folder of the tokenizer, where that is not the folder of the weights.
        Raises WeightsError where a file is missing or malformed, or no end of a text is named.
        """
        path = (words or folder) / TOKENIZER
        if not path.is_file():
            raise WeightsError(
                f"{path.parent} has no {TOKENIZER}",
                cure="save the tokenizer there with AutoTokenizer.from_pretrained(…).save_pretrained(folder)",
            )
        tokenizer = _read(path)
        before, after = _around(tokenizer)
        found = ending(folder, tokenizer.token_to_id, lambda one: tokenizer.id_to_token(one) is not None, words)
        remarks = (*found.remarks, *around_remarks(folder, before, after, words))
        return cls(tokenizer, before, found.taught, found.others, remarks)

    @classmethod
    def of_bytes(cls) -> Encoder:
        """A tokenizer of single bytes that needs no file: for engines without weights."""
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers

        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        vocabulary = {"<eos>": 0, **{letter: i for i, letter in enumerate(alphabet, 1)}}
        tokenizer = Tokenizer(models.BPE(vocabulary, []))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        return cls(tokenizer, (), 0)

    @cached_property
    def digest(self) -> str:
        """Of vocabulary, merges and normalisation: equal digests mean equal ids for every text."""
        return hashlib.sha256(self.tokenizer.to_str().encode()).hexdigest()

    def prompts(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Ids of prompts or prompt pieces, without BOS."""
        return [tuple(e.ids) for e in self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def pairs(self, prompts: Sequence[str], texts: Sequence[str]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Ids of each prompt, and of its answer as it stands behind the prompt and a space, without end-of-text.

        An answer's are what the joined text has beyond as many ids as the prompt alone has: the rule of lm_eval
        (`_encode_pair`). So a tokenizer that begins every text with a mark of its own puts none before an answer, and
        letters joined across the border go with the prompt. Raises DataError where nothing is left of an answer.
        """
        found = [(alone, joined[len(alone) :]) for alone, joined in self._alone_and_joined(prompts, texts)]
        for (_, ids), prompt, text in zip(found, prompts, texts, strict=True):
            if not ids:
                raise DataError(
                    f"the tokenizer joins the answer {text!r} with the end of its prompt, {prompt[-30:]!r}",
                    cure="end the format with a mark of its own, such as a colon",
                )
        return found

    def answers(self, prompts: Sequence[str], texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Of `pairs`, the answers."""
        return [answer for _, answer in self.pairs(prompts, texts)]

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def disagreements(self, prompts: Sequence[str], answers: Sequence[str]) -> int:
        """In how many of the pairs the ids of prompt and answer differ from those of the joined text."""
        return sum(joined[: len(alone)] != alone for alone, joined in self._alone_and_joined(prompts, answers))

    def _alone_and_joined(
        self, prompts: Sequence[str], texts: Sequence[str]
    ) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Ids of each prompt, and of it with its answer as one text."""
        different = list(dict.fromkeys(prompts))
        alone = dict(zip(different, self.prompts(different), strict=True))
        joined = self.prompts([f"{prompt} {text}" for prompt, text in zip(prompts, texts, strict=True)])
        return [(alone[prompt], ids) for prompt, ids in zip(prompts, joined, strict=True)]


def _read(path: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        return _let_alone(Tokenizer.from_file(str(path)))
    except Exception as error:  # the library raises nothing else
        cure = "save it again with AutoTokenizer.from_pretrained(…).save_pretrained(folder)"
        raise WeightsError(f"{path} is no tokenizer: {error}", cure) from error


def _let_alone(tokenizer: Tokenizer) -> Tokenizer:
    """The same, which pads and cuts nothing and takes text as text."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    return tokenizer


def _around(tokenizer: Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the tokenizer's post-processor puts before a text, and what behind it."""
    for text in ("a", "0", ".", "the"):
        bare = tokenizer.encode(text, add_special_tokens=False).ids
        whole = tokenizer.encode(text).ids
        for start in range(len(whole) - len(bare) + 1 if bare else 0):
            if whole[start : start + len(bare)] == bare:
                return tuple(whole[:start]), tuple(whole[start + len(bare) :])
    return tuple(tokenizer.encode("").ids), ()
