"""Text → token ids. The one encoder: training, shots and scoring call the same two functions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from amuro.errors import DataError, WeightsError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True, eq=False)
class Encoder:
    """A tokenizer with its policy for the beginning and the end of a text.

    `bos` is whatever the tokenizer itself puts before a text (its post-processor), often nothing.
    """

    tokenizer: Tokenizer
    bos: tuple[int, ...]
    eos: int

    @classmethod
    def from_folder(cls, folder: Path) -> Encoder:
        """Reads `tokenizer.json` and the end-of-text token of `tokenizer_config.json` or `config.json`."""
        from tokenizers import Tokenizer

        path = folder / "tokenizer.json"
        if not path.is_file():
            raise WeightsError(
                f"{folder} has no tokenizer.json",
                cure="save the tokenizer there with AutoTokenizer.from_pretrained(…).save_pretrained(folder)",
            )
        tokenizer = Tokenizer.from_file(str(path))
        return cls(tokenizer, tuple(tokenizer.encode("").ids), _end_of_text(tokenizer, folder))

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


def _end_of_text(tokenizer: Tokenizer, folder: Path) -> int:
    for name, key in (("tokenizer_config.json", "eos_token"), ("config.json", "eos_token_id")):
        path = folder / name
        found = json.loads(path.read_text(encoding="utf-8")).get(key) if path.is_file() else None
        if isinstance(found, dict):
            found = found.get("content")
        if isinstance(found, list):
            found = found[0] if found else None
        if isinstance(found, str):
            found = tokenizer.token_to_id(found)
        if found is not None:
            return int(found)
    raise WeightsError(f"{folder} names no end-of-text token", cure='add "eos_token" to its tokenizer_config.json')
