"""What transformers raises while it reads a configuration ends in one sentence that names the folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from amuro.core.errors import WeightsError
from amuro.engine._load import load_network


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_act": "evil"},
        {"hidden_act": 5},
        {"rope_parameters": {"rope_type": "evil"}},
        {"rope_parameters": [1]},
        {"num_attention_heads": 0},
        {"layer_types": "all"},
        {"architectures": 7, "model_type": "not_there"},
    ],
)
def test_a_configuration_that_cannot_be_loaded_is_told_in_a_sentence(
    folders: dict[str, Path], tmp_path: Path, changes: dict[str, Any]
) -> None:
    """Proves that what only transformers can tell of a configuration ends in a sentence with folder and reason."""
    folder = Path(shutil.copytree(folders["llama"], tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | changes), encoding="utf-8")
    with pytest.raises(WeightsError) as caught:
        load_network(folder, "float32", "cpu")
    assert str(folder) in str(caught.value)
    assert caught.value.cure
