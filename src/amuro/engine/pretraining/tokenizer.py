"""A byte-level BPE tokenizer trained on a corpus."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

EOS, PAD = "<eos>", "<pad>"
"""`<eos>` precedes every text (as an attention sink) and also marks its end; `<pad>` is never encoded."""


def train_tokenizer(documents: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train a byte-level BPE tokenizer of `vocab_size` tokens: any text can be encoded, frequent words are one token.

    A text's first word is encoded with a leading space like all other words, so it has the same id. `encode` puts
    `<eos>` before a text. The result depends on the documents and the size only.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[EOS, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{EOS} $A", pair=f"{EOS} $A $B", special_tokens=[(EOS, tokenizer.token_to_id(EOS))]
    )
    return tokenizer
