"""Facts about model architectures: which are refused, and which layers take no adapter. Weights are not needed.

docs/architectures.md lists every model type that was tried. A type that is not named here is tested when it is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from amuro.core.configs import read_json
from amuro.core.errors import StudyError, WeightsError
from amuro.core.types import Recipe

FAST = frozenset({"llama", "olmo", "olmo2", "gpt_neox", "qwen2", "qwen3", "mistral"})
"""Model types that run packed rows with shared prefixes; all others run row by row."""
LOOKS_AHEAD = frozenset({
    "bert", "bert-generation", "big_bird", "camembert", "data2vec-text", "electra", "ernie", "megatron-bert", "rembert",
    "roberta", "roberta-prelayernorm", "roformer", "xlm-roberta", "xlm-roberta-xl", "xmod",
})  # fmt: skip
"""Masked language models: bidirectional attention, unless the config states `is_decoder`."""
REFUSED: Mapping[str, str] = {
    "cpmant": "reads what stands behind a token as well",
    "prophetnet": "reads what stands behind a token as well",
    "xlnet": "reads what stands behind a token as well",
}
"""Model type → why it gives no log-probability of an answer."""
UNTUNED: Mapping[str, str] = {"reformer": "learns in a mode of its own only, with dropout"}
"""Model type → why it can be evaluated, but not tuned."""
UNFIT: Mapping[str, tuple[str, ...]] = {
    "falcon_h1": ("out_proj", "conv1d"),
    "falcon_mamba": ("out_proj", "conv1d", "dt_proj"),
    "jamba": ("dt_proj",),
    "mamba": ("out_proj", "conv1d", "dt_proj"),
    "mamba2": ("out_proj", "conv1d"),
    "nemotron_h": ("out_proj", "conv1d"),
}
"""Model type → layers whose matrix is used without calling the layer, by a fused kernel or by the model itself. An
adapter there would have no effect. peft refuses most of them.
"""
_NEEDS_TARGETS = frozenset(UNFIT) - {"jamba"}
"""Model types for which a recipe must name its lora_targets, because some layers take no adapter (as in peft)."""


def is_plain(config: Path | None) -> bool:
    """Whether a model of this `config.json` runs row by row; False where the file does not exist (yet)."""
    kind = str(read_json(config).get("model_type", "")) if config and config.is_file() else ""
    return bool(kind) and kind not in FAST


def refuse_unfit(folder: Path, recipes: Iterable[Recipe]) -> None:
    """Check a checkpoint's model type by its `config.json`.

    Raises WeightsError if it cannot be evaluated, StudyError if a recipe cannot tune it.
    """
    config = read_json(folder / "config.json")
    kind = str(config.get("model_type", ""))
    _refuse_kind(kind, config, folder)
    for recipe in recipes:
        if kind in UNTUNED:
            cure = "ask its base models only"
            raise StudyError(f"recipe {recipe.name} tunes a model of the kind '{kind}', which {UNTUNED[kind]}", cure)
        if recipe.method == "lora":
            refuse_targets(kind, recipe)


def _refuse_kind(kind: str, config: Mapping[str, Any], folder: Path) -> None:
    """Raise WeightsError on a model type that is refused or bidirectional."""
    if kind in REFUSED:
        cure = "use a causal language model (docs/architectures.md)"
        raise WeightsError(f"the model in {folder} is of the kind '{kind}', which {REFUSED[kind]}", cure)
    if kind in LOOKS_AHEAD and config.get("is_decoder") is not True:
        what = "which reads what stands behind a token: it would read the answers that it is asked for"
        cure = 'use a causal model; one that was trained as a decoder says "is_decoder": true in its config.json'
        raise WeightsError(f"the model in {folder} is of the kind '{kind}', {what}", cure)


def refuse_targets(kind: str, recipe: Recipe) -> None:
    """Raise StudyError where the recipe puts adapters on layers of that model type which take none."""
    unfit = UNFIT.get(kind, ())
    named = [target for target in recipe.lora_targets if target.rpartition(".")[2] in unfit]
    cure = 'name others, such as lora_targets = ["in_proj"], or say method = "full"'
    if named:
        raise StudyError(f"recipe {recipe.name}: '{named[0]}' of a model of the kind '{kind}' takes no adapter", cure)
    if kind in _NEEDS_TARGETS and not recipe.lora_targets:
        what = f"adapters beside all layers of a model of the kind '{kind}', whose {' and '.join(unfit)} take none"
        raise StudyError(f"recipe {recipe.name} asks for {what}", cure)
