"""Rows of data sets on the hub, through the clients `datasets` and `huggingface_hub`. No loading script is run.

Both clients respect HF_HOME, HF_HUB_OFFLINE and HF_ENDPOINT.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl

from amuro.core import hub
from amuro.core.errors import AmuroError, DataError, HubError

_COMMIT = re.compile(r"[0-9a-f]{40}")


def hub_rows(name: str, split: str, revision: str | None, cache: Path | None) -> list[dict[str, Any]]:
    """All rows of a split of `hub:NAME` (the name without `hub:`), as plain values in the data set's order.

    cache: folder of the `datasets` client's cache; None: the client's own. Raises DataError where the data set cannot
    be read as such, HubError where the hub or the network fails.
    """
    repository, folder, config = hub.parts(name)
    if folder:
        return _exported(repository, f"{folder}/{split}", revision)
    if Path(repository).exists():
        raise DataError(
            f"hub:{name} would be read from the folder {Path(repository).absolute()} instead of the hub",
            f"write file:{repository} if that is meant, else call amuro from another folder",
        )
    import datasets

    try:
        loaded = datasets.load_dataset(
            repository, config, split=split, revision=revision, cache_dir=str(cache) if cache else None
        )
    except Exception as failure:  # the client raises errors of many unrelated classes
        raise _hub_error(name, split, revision, failure) from failure
    _refuse_other_revision(name, revision, loaded)
    return list(loaded.to_list())


def _exported(repository: str, folder: str, revision: str | None) -> list[dict[str, Any]]:
    """Rows of the Parquet files in a folder of a data set, as in the hub's own Parquet export: one folder per split.

    The `datasets` client can read such folders too, but not offline from its cache.
    """
    snapshot = hub.fetch_rows(repository, f"{folder}/*.parquet", revision or "main")
    parquet_files = sorted((snapshot / folder).glob("*.parquet"))
    if not parquet_files:
        raise DataError(
            f"hub:{repository} has no Parquet file in {folder} at revision {revision or 'main'}",
            "check the folder and the split's name",
        )
    return pl.read_parquet(parquet_files, glob=False).to_dicts()


def _refuse_other_revision(name: str, revision: str | None, loaded: Any) -> None:
    """Raise DataError if the rows are of another commit than the pinned one.

    Offline the client falls back to the revision that it cached last; the cache folder is named after its commit.
    """
    commits = {Path(part["filename"]).parent.name for part in getattr(loaded, "cache_files", ())}
    if revision and _COMMIT.fullmatch(revision) and commits - {revision}:
        raise DataError(
            f"hub:{name} was asked for at revision {revision}, and the cache holds {', '.join(sorted(commits))}",
            "go online once to fetch the pinned revision, or pin the one that is there",
        )


def _hub_error(name: str, split: str, revision: str | None, failure: Exception) -> AmuroError:
    """The client's failure as an error with a cure. The first line of its message is kept: it names the cause."""
    reason = str(failure).strip().split("\n")[0].rstrip(".")
    place = f"hub:{name} split '{split}'" + (f" at revision {revision}" if revision else "")
    if "script" in reason.lower():
        return DataError(
            f"{place} is a data set that needs a loading script, and none is run: {reason}",
            "name a copy in Parquet (the revision refs/convert/parquet often is one)",
        )
    if isinstance(failure, ValueError):
        return DataError(f"{place} cannot be read: {reason}", "check the configuration and the split's name")
    return HubError(
        f"{place} cannot be had: {reason}",
        "check the name, the network and HF_TOKEN (gated sets need one); offline, fill the cache first, or "
        "name file:PATH for this task in the study's [sources]",
    )
