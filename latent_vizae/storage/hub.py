"""Folders to and from the Hugging Face Hub; no other module accesses it.

Errors are the Hub's own (`huggingface_hub.errors`). No downloaded code is run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "Reference",
    "check_push",
    "fetch_folder",
    "folder_of",
    "full_reference",
    "is_repo_id",
    "list_files",
    "look_up",
    "parse_reference",
    "push_folder",
    "unreachable",
]


SECONDS = 20.0
"""Timeout of the question whether a repository exists, after which the cache is used."""

NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"

REPO_ID = re.compile(rf"{NAME}/{NAME}")


class Reference(NamedTuple):
    """``user/repo[/subfolder][@revision]``, taken apart."""

    repo: str
    subfolder: str
    revision: str | None


def is_repo_id(text: str) -> bool:
    """Whether this is the id of a repository, ``user/name``."""
    return bool(REPO_ID.fullmatch(text)) and len(text) <= 96 and "--" not in text and ".." not in text


def parse_reference(text: str) -> Reference:
    """Take ``user/repo[/subfolder][@revision]`` apart.

    Raises:
        ValueError: it is not of that form.
    """
    path, at, revision = text.partition("@")
    user, _, rest = path.partition("/")
    name, _, subfolder = rest.partition("/")
    parts = subfolder.split("/") if subfolder else []
    if not is_repo_id(f"{user}/{name}") or any(part in ("", ".", "..") for part in parts) or (at and not revision):
        raise ValueError(f"A Hub reference is user/repo[/subfolder][@revision], got {text!r}.")
    return Reference(f"{user}/{name}", subfolder, revision or None)


def full_reference(reference: str, subfolder: str | None = None, revision: str | None = None) -> str:
    """A folder's path or a repository's reference, with a subfolder and a revision in it, where these came apart.

    Raises:
        ValueError: two revisions, or one of a folder.
    """
    path = Path(reference).expanduser()
    if path.exists() or path.is_absolute():
        if revision is not None:
            raise ValueError(f"revision={revision!r} is for repositories of the Hub, and {reference} is a folder.")
        return str(path / subfolder) if subfolder else reference
    if not subfolder and revision is None:
        return reference
    name, _, said = reference.partition("@")
    if said and revision is not None:
        raise ValueError(f"Two revisions came, {said!r} and {revision!r}.")
    name = f"{name}/{subfolder.strip('/')}" if subfolder else name
    said = said if revision is None else revision
    return f"{name}@{said}" if said else name


def look_up(repo: str, revision: str | None = None, token: str | bool | None = None, *, sizes: bool = False) -> Any:
    """The Hub's ``ModelInfo`` of a commit of a model repository, with ``sizes`` those of its files, for its readers.

    Raises:
        huggingface_hub.errors.HfHubHTTPError: the Hub refused: no such repository or revision, private, gated.
        OSError or httpx.TransportError: the Hub cannot be reached.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token, library_name="latent-vizae")
    info = api.repo_info(repo, revision=revision, files_metadata=sizes, timeout=SECONDS)
    if info.gated:  # everybody is told of it, not everybody may read it
        api.auth_check(repo)
    return info


def fetch_folder(
    repo: str,
    patterns: list[str],
    revision: str | None = None,
    token: str | bool | None = None,
    *,
    most_bytes: int | None = None,
) -> tuple[Path, str]:
    """Download the files that match the patterns, of one commit of a model repository, into the cache.

    The Hub is asked first, so that cached files are returned only to those who may read them. If it cannot be reached,
    or is busy or down, the cache is used.

    Args:
        repo: ``user/name``.
        patterns: globs of the wanted files.
        revision: branch, tag or commit; by default the main branch.
        token: of a Hub user; by default the one that is logged in.
        most_bytes: most bytes of all wanted files together; by default any number.

    Returns:
        The folder, and the commit that it holds.

    Raises:
        ValueError: the files have more than ``most_bytes``.
        huggingface_hub.errors.RepositoryNotFoundError: no such repository, or it is private.
        huggingface_hub.errors.GatedRepoError: the owner has not granted access.
        huggingface_hub.errors.RevisionNotFoundError: no such revision.
        huggingface_hub.errors.LocalEntryNotFoundError: offline, and not in the cache.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    failure: Exception | None = None
    try:
        files = look_up(repo, revision, token, sizes=most_bytes is not None).siblings
        if most_bytes is not None:
            wanted = [file for file in files if any(fnmatch(file.rfilename, pattern) for pattern in patterns)]
            if (size := sum(file.size or 0 for file in wanted)) > most_bytes:
                raise ValueError(f"{repo} has {size:,} bytes to download, more than most_bytes={most_bytes:,}.")
    except HfHubHTTPError as error:
        if (status := error.response.status_code) != 429 and status < 500:
            raise
        failure = error
    except unreachable() as error:
        failure = error
    only = failure is not None
    try:
        folder = snapshot_download(
            repo, revision=revision, allow_patterns=patterns, token=token, local_files_only=only
        )
    except LocalEntryNotFoundError as error:
        if failure is None:
            raise
        raise LocalEntryNotFoundError(f"{repo} is not in the cache, and the Hub gave no answer: {failure}") from error
    return Path(folder), Path(folder).name


def unreachable() -> tuple[type[Exception], ...]:
    """Exceptions for a Hub that cannot be reached."""
    from huggingface_hub.errors import OfflineModeIsEnabled
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # which of two it uses, it does not say

    return OfflineModeIsEnabled, httpx.TransportError


def folder_of(
    name: str | Path, files: list[str], what: str, revision: str | None = None, token: str | bool | None = None
) -> Path:
    """The folder of a saved object: a local one or, if there is none, that of a repository.

    Args:
        name: path of a folder, or ``user/name``.
        files: names of the files that a repository must have.
        what: the object's kind, for errors.
        revision: branch, tag or commit of a repository.
        token: of a Hub user.

    Raises:
        FileNotFoundError: the repository lacks a file.
        ValueError: a revision of a local folder.
        huggingface_hub.errors.HfHubHTTPError: see `fetch_folder`.
    """
    folder = Path(name)
    if isinstance(name, str) and not folder.exists() and is_repo_id(name):
        folder, _ = fetch_folder(name, files, revision, token)
        missing = [file for file in files if not (folder / file).is_file()]
        if missing:
            raise FileNotFoundError(f"The repository {name} holds no {what}: it has no {' and no '.join(missing)}.")
    elif revision is not None:
        raise ValueError(f"revision={revision!r} is for repositories of the Hub, and {name} is a folder.")
    return folder


def list_files(repo: str, revision: str | None = None, token: str | bool | None = None) -> list[str] | None:
    """Names of the files of a model repository; None if the Hub cannot be reached."""
    from huggingface_hub import HfApi

    try:
        return sorted(HfApi(token=token, library_name="latent-vizae").list_repo_files(repo, revision=revision))
    except unreachable():
        return None


def check_push(repo: str, token: str | bool | None = None, *, create_pr: bool = False) -> None:
    """Raise what forbids a push, before the work for one is done; nothing is written.

    Args:
        repo: ``user/name``.
        token: of a Hub user; by default the one that is logged in.
        create_pr: a pull request needs no rights of its owner's.

    Raises:
        ValueError: ``repo`` is not ``user/name``.
        PermissionError: the token may only read, or ``repo`` is neither its user's nor of an organisation of theirs.
        huggingface_hub.errors.HfHubHTTPError: the Hub knows no such token.
        huggingface_hub.errors.LocalTokenNotFoundError: there is none.
    """
    from huggingface_hub import HfApi

    if not isinstance(repo, str) or not is_repo_id(repo):
        raise ValueError(f"A repository is called user/name, got {repo!r}.")
    user = HfApi(token=token, library_name="latent-vizae").whoami()
    if user.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise PermissionError("This token may only read: make one that may write, on the Hub's page of access tokens.")
    owners = [user["name"], *(organisation["name"] for organisation in user.get("orgs", []))]
    if not create_pr and repo.split("/")[0] not in owners:
        raise PermissionError(
            f"{user['name']} has no rights to push to {repo}: a repository of theirs is called "
            f"{' or '.join(f'{owner}/name' for owner in owners)}."
        )


def push_folder(
    folder: Path,
    repo: str,
    *,
    message: str,
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    outdated: Sequence[str] = (),
    space: bool = False,
) -> str:
    """Upload a folder to a model repository, which is created if it does not exist; its other files stay.

    Args:
        folder: the folder.
        repo: ``user/name``.
        message: of the commit.
        private: whether a new repository is private; by default the organisation's setting.
        token: of a Hub user; by default the one that is logged in.
        revision: branch to commit to, created if it does not exist; by default the main branch.
        create_pr: open a pull request instead.
        outdated: names of files that are removed from the repository if the folder does not have them.
        space: to a static Space instead of a model repository.

    Returns:
        Address of the commit or of the pull request.

    Raises:
        ValueError: ``repo`` is not ``user/name``.
        huggingface_hub.errors.HfHubHTTPError: the Hub refused.
    """
    from huggingface_hub import HfApi

    if not isinstance(repo, str) or not is_repo_id(repo):
        raise ValueError(f"A repository is called user/name, got {repo!r}.")
    api = HfApi(token=token, library_name="latent-vizae")
    kind: Any = "space" if space else "model"
    api.create_repo(repo, private=private, exist_ok=True, repo_type=kind, space_sdk="static" if space else None)
    if revision is not None and not create_pr:
        api.create_branch(repo, branch=revision, exist_ok=True, repo_type=kind)
    done: Any = api.upload_folder(
        repo_id=repo,
        repo_type=kind,
        folder_path=folder,
        commit_message=message,
        revision=revision,
        create_pr=create_pr,
        delete_patterns=[name for name in outdated if not (folder / name).exists()] or None,
    )
    return str(done.pr_url or done.commit_url)
