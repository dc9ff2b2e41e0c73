"""A tiny model of every causal kind of transformers, and what becomes of it beside plain transformers in float32."""

from __future__ import annotations

import dataclasses
import inspect
import json
import signal
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tiny_models import CHECKPOINT, EOS, VOCABULARY, make_ask, tuned, words
from torch.nn.functional import cross_entropy
from transformers import CONFIG_MAPPING, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as NAMES
from transformers.utils import logging as transformers_logging

from amuro.core.requests import Request
from amuro.engine.torch import TorchEngine
from amuro.engine.training.lora import target_layers

KINDS: tuple[str, ...] = tuple(NAMES)
PLACES = 40
MOST = 1_000_000
"""Parameters beyond which a config is not tried."""
_ALIASES = {
    VOCABULARY: ("vocab_size",),
    32: ("hidden_size", "d_model", "n_embd", "dim_model", "emb_dim", "embedding_size", "word_embed_proj_dim"),
    48: ("intermediate_size", "ffn_dim", "decoder_ffn_dim", "encoder_ffn_dim", "dim_ff", "dff", "n_inner", "d_inner",
         "ffn_hidden_size"),
    16: ("moe_intermediate_size", "shared_expert_intermediate_size", "qk_head_dim", "hidden_size_per_layer_input",
         "moe_shared_expert_intermediate_size", "global_head_dim"),
    2: ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers",
        "num_decoder_layers", "num_key_value_heads", "num_experts_per_tok", "moe_topk", "mamba_expand",
        "num_key_value_groups"),
    4: ("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads", "encoder_attention_heads",
        "num_decoder_attention_heads", "num_experts", "num_local_experts", "n_routed_experts",
        "linear_num_value_heads", "linear_num_key_heads"),
    8: ("head_dim", "attention_head_size", "q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim",
        "v_head_dim", "state_size", "mamba_d_state", "mamba_d_head", "mamba_n_heads", "linear_value_head_dim",
        "linear_key_head_dim", "ssm_state_size", "mamba_head_dim", "mamba_num_heads"),
    PLACES: ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "context_length",
             "max_target_positions"),
    0: ("bos_token_id",),
    EOS: ("eos_token_id", "n_shared_experts", "n_group", "topk_group"),
}  # fmt: skip
SMALL: dict[str, Any] = {name: value for value, names in _ALIASES.items() for name in names}
SMALL |= {"pad_token_id": None, "is_decoder": True, "initializer_range": 0.2, "init_std": 0.2}
OWN: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"]},
    "dory": {"n_input_layers": 1, "n_output_layers": 1, "num_hidden_layers": 4},
    "mamba2": {"num_heads": 8, "head_dim": 8},
    "falcon_h1": {"mamba_d_ssm": 64},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "modernbert-decoder": {"pad_token_id": 2},
    "reformer": {"axial_pos_embds_dim": [16, 16], "axial_pos_shape": [4, 10]},
    "zaya": {"num_experts_per_tok": 1},
    "gemma4_text": {"vocab_size_per_layer_input": VOCABULARY, "global_head_dim": 8},
    "zamba": {"num_hidden_layers": 6, "use_mem_eff_path": False, "attn_layer_period": 2, "attn_layer_offset": 1},
    "kimi_linear": {"qk_head_dim": 16, "linear_head_dim": 8, "linear_num_heads": 4},
    "bailing_hybrid": {"linear_head_dim": 8, "linear_num_heads": 4},
    "recurrent_gemma": {"block_types": ["recurrent", "attention"]},
    "gemma3n_text": {"num_kv_shared_layers": 0, "vocab_size_per_layer_input": VOCABULARY},
    "zamba2": {"num_hidden_layers": 4, "layers_block_type": ["linear_attention", "hybrid"] * 2, "mamba_headdim": 8,
               "n_mamba_heads": 8, "attention_head_dim": 16},
    "nemotron_h": {"layers_block_type": ["linear_attention", "full_attention"], "num_hidden_layers": 2},
    "inkling_text": {"swa_num_attention_heads": 4, "swa_num_key_value_heads": 2, "swa_head_dim": 8},
    "inkling2_text": {"swa_num_attention_heads": 4, "swa_num_key_value_heads": 2, "swa_head_dim": 8,
                      "unpadded_vocab_size": VOCABULARY, "padded_vocab_size": VOCABULARY},
}  # fmt: skip
"""What the general rule does not hit."""
for kinds, changes in (
    (
        "axk1 axk2 deepseek_v2 deepseek_v3 deepseek_v32 dots3_note_text glm4_moe_lite glm_moe_dsa longcat_flash "
        "minicpm3 sarvam_mla youtu kimi_linear bailing_hybrid",
        {"num_key_value_heads": 4},
    ),
    ("codegen gptj", {"rotary_dim": 4}),
    (
        "camembert data2vec-text prophetnet roberta roberta-prelayernorm xlm-roberta xlm-roberta-xl xmod",
        {"pad_token_id": 2},
    ),
    (
        "qwen3_5_text qwen3_5_moe_text qwen3_next bailing_hybrid kimi_linear",
        {"layer_types": ["linear_attention", "full_attention"]},
    ),
    ("lfm3 lfm2_moe", {"layer_types": ["conv", "full_attention"]}),
):
    for kind in kinds.split():
        OWN[kind] = OWN.get(kind, {}) | changes


def config_of(kind: str) -> Any:
    """The default config of the kind with every size that is known by name made small."""
    return _small(CONFIG_MAPPING[kind], OWN.get(kind, {}))


def _small(made: Any, own: dict[str, Any]) -> Any:
    names = {one.name for one in dataclasses.fields(made)} if dataclasses.is_dataclass(made) else set()
    names |= set(inspect.signature(made.__init__).parameters)
    chosen = {name: value for name, value in SMALL.items() if name in names}
    for name, other in (getattr(made, "attribute_map", None) or {}).items():
        if name in SMALL and other in names:
            chosen.setdefault(other, SMALL[name])
    for name, part in (made.sub_configs or {}).items():
        if isinstance(part, type) and part.__name__ != "AutoConfig":
            chosen[name] = _small(part, OWN.get(part.model_type, {})).to_dict()
    return made(**chosen, **{k: v for k, v in own.items() if k not in chosen}) if not own else made(**(chosen | own))


def save(kind: str, folder: Path) -> str:
    """Save a random model of the kind; a sentence where that cannot be done, else nothing."""
    try:
        config = config_of(kind)
        with torch.device("meta"):
            size = sum(one.numel() for one in AutoModelForCausalLM.from_config(config).parameters())
        if size > MOST:
            return f"no config under a million parameters ({size:,})"
        torch.manual_seed(3)
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for one in model.parameters():
                one.add_(torch.randn_like(one) * 0.1)  # so that nothing is zero or one by chance
        model.save_pretrained(folder)
    except Exception as error:
        return f"transformers makes no tiny model: {_first(error)}"
    return ""


def trial(kind: str, folder: Path) -> dict[str, Any]:
    """What becomes of one kind: `made`, `read`, `score`, `generate`, `full`, `lora`; differences in nats, or words."""
    if refused := save(kind, folder):
        return {"kind": kind, "made": refused}
    row: dict[str, Any] = {"kind": kind, "made": "", "class": NAMES[kind]}
    engine = TorchEngine("float32", "cpu", 1)
    try:
        engine.load(CHECKPOINT, folder)
    except Exception as error:
        return {**row, "read": _said(error)}
    row["read"] = "plain" if engine.remarks() else "fast"
    row["context"] = engine.context_length()
    for name, part in (("score", _score), ("generate", _generate), ("full", _full), ("lora", _lora)):
        try:
            row[name] = part(engine, folder)
        except Exception as error:
            row[name] = _said(error)
    return row


def _plain(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def _score(engine: TorchEngine, folder: Path) -> float:
    """Largest difference of any option's log-probability, also of a row that just fills the window."""
    rng, model, room = np.random.default_rng(1), _plain(folder), min(engine.context_length(), 64)
    requests = [Request(str(i), words(rng, 1, 9), (words(rng, 1, 4), words(rng, 1, 4))) for i in range(3)]
    requests.append(Request("full", words(rng, room - 3, room - 3), (words(rng, 4, 4),)))
    prefix = ()
    found = engine.score(make_ask(requests, prefix))
    wanted = [[_alone(model, request.context, option) for option in request.options] for request in requests]
    return max(abs(a - b) for left, right in zip(found, wanted, strict=True) for a, b in zip(left, right, strict=True))


@torch.no_grad()
def _alone(model: Any, context: tuple[int, ...], option: tuple[int, ...]) -> float:
    logits = model(torch.tensor([[*context, *option[:-1]]])).logits[0, -len(option) :].double().log_softmax(-1)
    return float(logits.gather(1, torch.tensor(option)[:, None]).sum())


def _generate(engine: TorchEngine, folder: Path) -> str:
    """`equal` where all words are the likeliest ones of plain transformers, which reads all anew for each; `as
    generate` is added where `model.generate` says them as well.
    """
    rng, model, room = np.random.default_rng(2), _plain(folder), min(engine.context_length(), 64)
    contexts = [words(rng, 3, 9), words(rng, room - 3, room - 3)]
    asked = [Request(str(i), context) for i, context in enumerate(contexts)]
    got = engine.generate(make_ask(asked, new=4), lambda ids: " ".join(map(str, ids)))
    if any(_ids(one.text) != _greedy(model, context, 4) for one, context in zip(got, contexts, strict=True)):
        return "other words"
    try:
        theirs = [model.generate(torch.tensor([c]), max_new_tokens=4, do_sample=False)[0, len(c) :] for c in contexts]
    except Exception:
        return "equal"
    said = [[token for token in one.tolist() if token != EOS] for one in theirs]
    return "equal, as generate" if [_ids(one.text) for one in got] == said else "equal"


def _ids(text: str) -> list[int]:
    return [int(word) for word in text.split()]


@torch.no_grad()
def _greedy(model: Any, context: tuple[int, ...], most: int) -> list[int]:
    said: list[int] = []
    while len(said) < most and EOS not in said:
        said.append(int(model(torch.tensor([[*context, *said]])).logits[0, -1].argmax()))
    return [token for token in said if token != EOS]


def _pairs() -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    rng = np.random.default_rng(11)
    return [(words(rng, 2, 12), (*words(rng, 1, 4), EOS)) for _ in range(4)]


def _full(engine: TorchEngine, folder: Path) -> float:
    """Largest difference of the losses of two steps."""
    engine.reset()
    recipe = tuned(epochs=2, batch_size=4, warmup_ratio=0.0, schedule="constant")
    found = engine.tune(_pairs(), recipe, 1e-3, lambda *_: None).losses
    return max(abs(a - b) for a, b in zip(found, _two_steps(_plain(folder)), strict=True))


def _lora(engine: TorchEngine, folder: Path) -> float:
    """The same with an adapter, beside peft's own layers."""
    from peft import LoraConfig, get_peft_model

    engine.reset()
    recipe = tuned(
        epochs=2, batch_size=4, warmup_ratio=0.0, schedule="constant", method="lora", lora_rank=4, lora_alpha=8
    )
    found = engine.tune(_pairs(), recipe, 1e-2, lambda *_: None).losses
    model = _plain(folder)
    assert recipe.recipe is not None
    named = target_layers(model, recipe.recipe)
    config = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=named, task_type="CAUSAL_LM")
    model.config.model_type = "hidden"  # for some kinds peft takes other layers than it is told
    torch.manual_seed(recipe.tune_seed or 0)
    get_peft_model(model, config)
    engine.reset()
    return max(abs(a - b) for a, b in zip(found, _two_steps(model, 1e-2), strict=True))


def _two_steps(model: Any, rate: float = 1e-3) -> list[float]:
    """Losses of two steps of AdamW over all pairs, each read alone."""
    wanted = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(wanted, lr=rate, weight_decay=0.0)
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        nats = torch.cat([
            cross_entropy(
                _answers(model, [*prompt, *answer][:-1])[len(prompt) - 1 :],
                torch.tensor(answer),
                reduction="none",
            )
            for prompt, answer in _pairs()
        ])  # fmt: skip
        nats.mean().backward()
        torch.nn.utils.clip_grad_norm_(wanted, 1.0)
        optimizer.step()
        losses.append(float(nats.mean()))
    return losses


def _answers(model: Any, ids: list[int]) -> Any:
    """Logits; RWKV learns without a cache only, since it changes that in place."""
    spared = {"use_cache": False} if type(model).__name__ == "RwkvForCausalLM" else {}
    return model(torch.tensor([ids]), **spared).logits[0]


def _said(error: Exception) -> str:
    told = "" if type(error).__module__ == "amuro.core.errors" else f"{type(error).__name__}: "
    return f"{told}{_first(error)}"


def _first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:220]


def _too_long(*_: Any) -> None:
    raise TimeoutError("took too long")


def main(kinds: list[str], seconds: int = 120) -> None:
    """Print a JSON line for each kind."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    untyped: Any = transformers_logging
    untyped.set_verbosity_error()
    untyped.disable_progress_bar()
    signal.signal(signal.SIGALRM, _too_long)
    for kind in kinds or KINDS:
        signal.alarm(seconds)
        try:
            with tempfile.TemporaryDirectory() as folder:
                row = trial(kind, Path(folder))
        except BaseException as error:
            row = {"kind": kind, "made": f"died: {_first(error)}"}  # type: ignore[arg-type]
        signal.alarm(0)
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
