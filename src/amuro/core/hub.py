"""Repositories on the hub, through the client `huggingface_hub`. Every failure is a HubError with a cure.

The client reads HF_ENDPOINT, HF_HOME, HF_TOKEN and HF_HUB_OFFLINE. Files are stored in its cache, which other tools
share. Rows of data sets are loaded in `data`; here their commits are resolved and their files downloaded.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from amuro.core.errors import DataError, HubError, WeightsError
from amuro.core.revisions import label, match
from amuro.core.weights import PICKLED, weight_files

FILES = (
    "model*.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
)
"""Patterns of the files that are downloaded: weights, configuration, tokenizer, and no code."""

DOCUMENTS = ("config.json", "tokenizer.json")
"""Small files that every model needs besides its weights."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_log = logging.getLogger("amuro")


class UnreachableError(HubError):
    """The hub did not answer, or HF_HUB_OFFLINE is set. Cached files can still be used."""


@dataclass(frozen=True, slots=True)
class Found:
    """A revision of a model repository as recorded by the hub."""

    repository: str
    """Its current name, if it was moved."""
    revision: str
    commit: str
    files: dict[str, str | None]
    """File → sha256; None for small files, whose sha256 the hub does not record."""
    blobs: dict[str, str]
    """File → git id of its content."""


def revisions(repository: str) -> dict[str, str]:
    """Branches and tags of a repository → commit. Raises HubError."""
    from huggingface_hub import HfApi

    with _in_one_sentence(repository):
        refs = HfApi().list_repo_refs(repository)
    return {ref.name: ref.target_commit for ref in (*refs.branches, *refs.tags)}


def find(repository: str, revision: str) -> Found:
    """The hub's record of a revision. A token count missing in its name is completed; a moved repository is followed.

    Raises HubError: no such repository or revision (with the nearest names), gated, unreachable.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RevisionNotFoundError

    with _in_one_sentence(repository, revision):
        try:
            info = HfApi().model_info(repository, revision=revision, files_metadata=True)
        except RevisionNotFoundError as error:
            if _COMMIT.fullmatch(revision):
                cure = "delete it from the lock file, and today's commit is written there"
                raise HubError(f"{repository} no longer has the locked commit {revision}", cure) from error
            revision = match(revision, revisions(repository), where=repository)
            info = HfApi().model_info(repository, revision=revision, files_metadata=True)
    if info.id != repository:
        _log.warning("%s has moved: the hub serves it as %s", repository, info.id)
    files = {file.rfilename: file.lfs.sha256 if file.lfs else None for file in info.siblings or ()}
    blobs = {file.rfilename: file.blob_id for file in info.siblings or () if file.blob_id}
    return Found(info.id, revision, str(info.sha), files, blobs)


def parts(name: str) -> tuple[str, str | None, str | None]:
    """`NAMESPACE/NAME[/FOLDER]` or `NAMESPACE/NAME[:CONFIG]` of a source → repository, folder, configuration.

    Raises DataError without a namespace.
    """
    path, _, config = name.partition(":")
    namespace, _, rest = path.partition("/")
    short, _, folder = rest.partition("/")
    if not (namespace and short):
        raise DataError(f"hub:{name} has no namespace", "write hub:NAMESPACE/NAME, e.g. hub:google/boolq")
    return f"{namespace}/{short}", folder or None, config or None


def fetch_rows(repository: str, pattern: str, revision: str) -> Path:
    """Download the files of a data set that match a pattern; returns the snapshot's folder. Raises HubError."""
    from huggingface_hub import snapshot_download

    with _in_one_sentence(repository, revision, kind="dataset"):
        return Path(snapshot_download(repository, repo_type="dataset", revision=revision, allow_patterns=[pattern]))


def data_commit(repository: str, revision: str) -> str:
    """The commit of a data set's branch: the hub's current one, or the cached one where the hub is unreachable.

    Raises HubError where neither is available.
    """
    from huggingface_hub import HfApi, constants

    try:
        with _in_one_sentence(repository, revision, kind="dataset"):
            return str(HfApi().dataset_info(repository, revision=revision).sha)
    except UnreachableError:
        folder = Path(constants.HF_HUB_CACHE) / f"datasets--{repository.replace('/', '--')}"
        known = folder / "refs" / revision
        if not known.is_file():
            raise
        return known.read_text(encoding="utf-8").strip()


def fetch(repository: str, revision: str, commit: str | None = None) -> Path:
    """Download a revision of a model; returns its folder in the client's cache.

    With `commit` it is exactly that commit, and no network is used if it is cached. An interrupted download resumes.
    Raises HubError as `find` does, WeightsError where the revision has no safetensors.
    """
    if commit and (folder := cached(repository, commit)):
        return folder
    try:
        found = find(repository, commit or revision)
        _refuse_pickled(found)
        return _download(repository, found.revision)
    except UnreachableError:
        if not commit and (folder := at_hand(repository, revision)):
            _log.warning("the hub does not answer: reading %s@%s from the cache", repository, revision)
            return folder
        raise


def at_hand(repository: str, revision: str, commit: str | None = None) -> Path | None:
    """As `cached`, for a revision whose token count may be left out. It uses no network."""
    name = commit or _cached_name(repository, revision)
    return cached(repository, name) if name else None


def cached(repository: str, revision: str) -> Path | None:
    """The folder of a revision (or commit) that is complete in the cache, else None. It uses no network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = snapshot_download(repository, revision=revision, allow_patterns=list(FILES), local_files_only=True)
        weight_files(Path(folder))
    except (LocalEntryNotFoundError, WeightsError):
        return None
    return Path(folder)


def records(repository: str, revision: str, commit: str | None = None) -> tuple[dict[str, str], dict[str, str]] | None:
    """({weights file: sha256}, {small file (DOCUMENTS): git id of its content}) of a revision, without a download.

    If the hub is unreachable, the former comes from the names in the cache and the latter is empty. None if the sha256
    of any weights file is unknown. Raises HubError as `find` does, except for an unreachable hub, and WeightsError
    where the revision has no safetensors.
    """
    try:
        found = find(repository, commit or revision)
        _refuse_pickled(found)
        weights = {name: sha or "" for name, sha in found.files.items() if _is_weights(name)}
        documents = {name: found.blobs[name] for name in DOCUMENTS if name in found.blobs}
    except UnreachableError:
        folder = at_hand(repository, revision, commit)
        weights = {path.name: path.resolve().name for path in weight_files(folder)} if folder else {}
        documents = {}
    known = bool(weights) and all(map(_SHA256.fullmatch, weights.values()))
    return (weights, documents) if known else None


def document(repository: str, revision: str, commit: str | None, name: str) -> Path:
    """The path of one small file of a revision, downloaded unless cached. Raises HubError as `find` does."""
    from huggingface_hub import hf_hub_download

    found = find(repository, commit or revision)
    with _in_one_sentence(repository, revision):
        return Path(hf_hub_download(repository, name, revision=found.revision))


def _download(repository: str, revision: str) -> Path:
    """Download `FILES` of a model's revision; returns the snapshot's folder. Raises HubError."""
    from huggingface_hub import snapshot_download

    with _in_one_sentence(repository, revision):
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(FILES)))


def _is_weights(name: str) -> bool:
    """Whether a file of a repository is a safetensors weights file at its top level."""
    return fnmatch(name, FILES[0]) and "/" not in name


def _refuse_pickled(found: Found) -> None:
    """Raise WeightsError where a revision has no safetensors."""
    if any(_is_weights(name) for name in found.files):
        return
    pickled = [name for name in found.files if name.endswith(PICKLED)]
    what = (
        f"only {pickled[0]}, which could run code when read"
        if pickled
        else f"only {', '.join(sorted(found.files)[:8])}"
    )
    cure = 'choose a revision with safetensors, or convert it and study the folder (kind = "folder")'
    raise WeightsError(f"{found.repository}@{found.revision} has no model.safetensors: {what}", cure)


def _cached_name(repository: str, revision: str) -> str | None:
    """The cached name of a revision: the same name, or the only one with the same label; None: it is not cached."""
    from huggingface_hub import constants

    refs = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "refs"
    names = sorted(str(path.relative_to(refs)) for path in refs.rglob("*") if path.is_file())
    same = [name for name in names if name == revision] or [name for name in names if label(name) == label(revision)]
    return same[0] if len(same) == 1 else None


@contextmanager
def _in_one_sentence(repository: str, revision: str = "", kind: str = "model") -> Iterator[None]:
    """Inside, the client's exceptions are raised as HubError."""
    from huggingface_hub.errors import HfHubHTTPError

    # The base error class of the HTTP library that the client uses (httpx or its successor).
    transport: type[Exception] = HfHubHTTPError.__bases__[0]
    try:
        yield
    except (OSError, transport) as error:
        raise _as_ours(error, repository, revision, kind) from error


def _as_ours(error: Exception, repository: str, revision: str, kind: str) -> HubError:
    """The HubError for an exception of the client. kind: "model" or "dataset"."""
    from huggingface_hub import constants, errors

    what = f"{repository}@{revision}" if revision else repository
    if isinstance(error, errors.GatedRepoError):
        cure = f"accept its terms at {constants.ENDPOINT}/{repository}, then call `hf auth login` or set HF_TOKEN"
        return HubError(f"{repository} is gated, and the hub did not let this account in", cure)
    if isinstance(error, errors.RepositoryNotFoundError):
        cure = "check the spelling ORG/NAME; if it is private, call `hf auth login` or set HF_TOKEN"
        return HubError(f"{constants.ENDPOINT} shows no {kind} {repository}", cure)
    if isinstance(error, errors.HfHubHTTPError):
        return _answered(error.response.status_code, what, repository)
    full_disk_or_the_like = isinstance(error, OSError) and not isinstance(error, ConnectionError | TimeoutError)
    if full_disk_or_the_like and not isinstance(error, errors.LocalEntryNotFoundError):
        return HubError(f"{what} could not be fetched: {_first_line(error)}", _again(repository, revision, kind))
    broken = f"the connection to {constants.ENDPOINT} failed ({type(error).__name__})"
    state = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else broken
    missing = f"{state}, and {what} is not whole in {constants.HF_HUB_CACHE}"
    return UnreachableError(missing, _again(repository, revision, kind))


def _answered(status: int, what: str, repository: str) -> HubError:
    """The HubError for an HTTP status; UnreachableError for 429 and server errors."""
    from huggingface_hub import constants

    message = f"{constants.ENDPOINT} answered {status} for {what}"
    if status == 429 or status >= 500:
        return UnreachableError(message, "wait a little, then call again")
    known = status in (401, 403)
    return HubError(
        message, "check HF_TOKEN, or call `hf auth login`" if known else f"see {constants.ENDPOINT}/{repository}"
    )


def _again(repository: str, revision: str, kind: str) -> str:
    """The cure for a missing download: the command that fetches it."""
    at = (" --repo-type dataset" if kind == "dataset" else "") + (f" --revision {revision}" if revision else "")
    return f"fetch it where there is a network: hf download {repository}{at} (HF_HOME says where its cache lies)"


def _first_line(error: Exception) -> str:
    """The first line of an error's message, else its class name."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
