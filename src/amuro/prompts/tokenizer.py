"""Text → token ids. The one encoder: training, shots and scoring use the same two methods."""

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
    """A tokenizer with its rules for the beginning and the end of a text.

    Text that looks like a special token is encoded as ordinary text. Padding and truncation saved in a
    `tokenizer.json` are ignored.
    """

    tokenizer: Tokenizer
    bos: tuple[int, ...]
    """The ids that the tokenizer's post-processor puts before a text, often none; what it puts after a text is not
    used.
    """
    eos: int
    """The id that is trained after every answer and ends a generation."""
    other_ends: frozenset[int] = frozenset()
    """Further ids that end a generation."""
    remarks: tuple[str, ...] = ()
    """Disagreements between the checkpoint's files, or with other readers of them."""

    def __post_init__(self) -> None:
        _let_alone(self.tokenizer)

    @property
    def ends(self) -> frozenset[int]:
        """All ids that end a generation."""
        return self.other_ends | {self.eos}

    @classmethod
    def from_folder(cls, folder: Path, words: Path | None = None) -> Encoder:
        """Returns the encoder of a checkpoint: its `tokenizer.json`, and the end ids as `tokenizer_files` finds them.

        `words`: folder of the tokenizer, if that is not the folder of the weights. Raises WeightsError if a file is
        missing or malformed, or no end-of-text is named.
        """
        path = (words or folder) / TOKENIZER
        if not path.is_file():
            raise WeightsError(
                f"{path.parent} has no {TOKENIZER}",
                cure="save the tokenizer there with AutoTokenizer.from_pretrained(…).save_pretrained(folder)",
            )
        tokenizer = _read(path)
        before, after = _around(tokenizer)
        ends = ending(
            folder, tokenizer.token_to_id, lambda token_id: tokenizer.id_to_token(token_id) is not None, words
        )
        remarks = (*ends.remarks, *around_remarks(folder, before, after, words))
        return cls(tokenizer, before, ends.taught, ends.others, remarks)

    @classmethod
    def of_bytes(cls) -> Encoder:
        """Returns an encoder of single bytes that needs no file: for engines without weights."""
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers

        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        vocabulary = {"<eos>": 0, **{letter: i for i, letter in enumerate(alphabet, 1)}}
        tokenizer = Tokenizer(models.BPE(vocabulary, []))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        return cls(tokenizer, (), 0)

    @cached_property
    def digest(self) -> str:
        """Digest of vocabulary, merges and normalisation: equal digests mean equal ids for every text."""
        return hashlib.sha256(self.tokenizer.to_str().encode()).hexdigest()

    def prompts(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Returns the ids of prompts or parts of prompts, without begin-of-text."""
        return [tuple(e.ids) for e in self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def pairs(self, prompts: Sequence[str], texts: Sequence[str]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Returns the ids of each prompt, and of its answer after the prompt and a space, without end-of-text.

        The ids of an answer are those of the joined text after as many ids as the prompt alone has: the rule of
        lm_eval (`_encode_pair`). So a tokenizer that begins every text with a mark puts none before an answer, and
        characters merged across the border belong to the prompt. Raises DataError if nothing is left of an answer.
        """
        pairs = [(alone, joined[len(alone) :]) for alone, joined in self._alone_and_joined(prompts, texts)]
        for (_, ids), prompt, text in zip(pairs, prompts, texts, strict=True):
            if not ids:
                raise DataError(
                    f"the tokenizer joins the answer {text!r} with the end of its prompt, {prompt[-30:]!r}",
                    cure="end the format with punctuation such as a colon",
                )
        return pairs

    def answers(self, prompts: Sequence[str], texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Returns the answers of `pairs`."""
        return [answer for _, answer in self.pairs(prompts, texts)]

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the text of ids, without special tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def disagreements(self, prompts: Sequence[str], answers: Sequence[str]) -> int:
        """Returns the number of pairs in which separate ids of prompt and answer differ from those of the joined
        text.
        """
        return sum(joined[: len(alone)] != alone for alone, joined in self._alone_and_joined(prompts, answers))

    def _alone_and_joined(
        self, prompts: Sequence[str], texts: Sequence[str]
    ) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Returns the ids of each prompt alone, and of prompt and answer as one text."""
        different = list(dict.fromkeys(prompts))
        alone = dict(zip(different, self.prompts(different), strict=True))
        joined = self.prompts([f"{prompt} {text}" for prompt, text in zip(prompts, texts, strict=True)])
        return [(alone[prompt], ids) for prompt, ids in zip(prompts, joined, strict=True)]


def _read(path: Path) -> Tokenizer:
    """Reads a tokenizer.json. Raises WeightsError if it is none."""
    from tokenizers import Tokenizer

    try:
        return _let_alone(Tokenizer.from_file(str(path)))
    except Exception as error:  # the library raises nothing else
        cure = "save it again with AutoTokenizer.from_pretrained(…).save_pretrained(folder)"
        raise WeightsError(f"{path} is no tokenizer: {error}", cure) from error


def _let_alone(tokenizer: Tokenizer) -> Tokenizer:
    """Turns off padding, truncation and special tokens in text; returns the same object."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    return tokenizer


def _around(tokenizer: Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns the ids that the tokenizer's post-processor puts before a text and after it."""
    for text in ("a", "0", ".", "the"):
        bare = tokenizer.encode(text, add_special_tokens=False).ids
        whole = tokenizer.encode(text).ids
        for start in range(len(whole) - len(bare) + 1 if bare else 0):
            if whole[start : start + len(bare)] == bare:
                return tuple(whole[:start]), tuple(whole[start + len(bare) :])
    return tuple(tokenizer.encode("").ids), ()
