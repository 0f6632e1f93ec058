"""Files of the Hugging Face Hub, through ``huggingface_hub``, which is imported at the first use.

Its environment variables hold here too: ``HF_HOME`` for the cache, ``HF_HUB_OFFLINE``, ``HF_TOKEN``, ...
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from solo_d2.utils.errors import InputError
from solo_d2.utils.hashing import hash_file

_PACKAGE = "huggingface_hub"
_ADDRESS = re.compile(r"https://huggingface\.co/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REASON_LENGTH = 120
_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"


@dataclass(frozen=True)
class HubFile:
    """A file of a repository of models.

    Attributes:
        repository: Owner and name, such as "user/model".
        path: Path in the repository.
        revision: Branch, tag or commit.
    """

    repository: str
    path: str
    revision: str = "main"


def is_installed() -> bool:
    """Returns whether ``huggingface_hub`` can be imported."""
    return find_spec(_PACKAGE) is not None


def parse_address(url: str) -> HubFile | None:
    """Returns the file that an ``https://huggingface.co/.../resolve/...`` address names; None for others."""
    found = _ADDRESS.fullmatch(url)
    return HubFile(found[1], found[3], found[2]) if found else None


def cached_file(file: HubFile) -> Path | None:
    """Returns the cached copy of a file; None without one, or without ``huggingface_hub``."""
    if not is_installed():
        return None
    hub = _hub(file.repository)
    found = hub.try_to_load_from_cache(file.repository, file.path, revision=file.revision)
    return Path(found) if isinstance(found, str) else None


def fetch_file(
    file: HubFile, *, sha256_start: str = "", token: str | None = None, force: bool = False
) -> Path:
    """Returns the cached copy of a file, fetched at the first use, with a progress bar on a terminal.

    Args:
        file: The file.
        sha256_start: Hexadecimal digits that its SHA-256 must begin with; "" for what the hub states.
        token: Access token; None for the one of ``hf auth login`` or ``HF_TOKEN``.
        force: Whether to fetch it again.

    Raises:
        InputError: There is no such file, no connection, no permission, or the content is not the one stated.
    """
    hub = _hub(file.repository)
    try:
        path = Path(
            hub.hf_hub_download(
                file.repository, file.path, revision=file.revision, token=token, force_download=force
            )
        )
    except Exception as error:  # of this package and of the HTTP client below it
        raise InputError(_explain(hub, error, file)) from error
    _check(path, file, sha256_start)
    return path


def commit_files(
    repository: str,
    files: Mapping[str, Path],
    message: str,
    *,
    private: bool | None = None,
    token: str | None = None,
) -> str:
    """Uploads files in one commit to a repository, which is created if needed.

    Args:
        repository: Owner and name.
        files: Local files by path in the repository.
        message: Message of the commit.
        private: Whether a new repository is private; None for the owner's default.
        token: Access token; None for the one of ``hf auth login`` or ``HF_TOKEN``.

    Returns:
        Address of the repository.

    Raises:
        InputError: There is no connection or no permission.
    """
    hub = _hub(repository)
    api = hub.HfApi(token=token, library_name="solo_d2")
    try:
        address = api.create_repo(repository, private=private, exist_ok=True)
        operations = [hub.CommitOperationAdd(name, path) for name, path in files.items()]
        api.create_commit(repository, operations, commit_message=message)
    except Exception as error:  # of this package and of the HTTP client below it
        raise InputError(f"{repository} could not be written: {_explain(hub, error, None)}") from error
    return str(address)


def _hub(repository: str) -> ModuleType:
    try:
        import huggingface_hub
    except ImportError as error:
        raise InputError(
            f'{repository} is on the Hugging Face Hub, which needs a package: pip install "solo_d2[hub]", or '
            f"{_PACKAGE}"
        ) from error
    return huggingface_hub


def _check(path: Path, file: HubFile, sha256_start: str) -> None:
    """Compares a cached file with its hash; removes a wrong one and raises ``InputError``.

    The cache names the content of a large file after its SHA-256.
    """
    content = path.resolve()
    wanted = sha256_start or (content.name if _SHA256.fullmatch(content.name) else "")
    digest = hash_file(content) if wanted else ""
    if not digest.startswith(wanted):
        for wrong in {content, path}:
            wrong.unlink(missing_ok=True)
        raise InputError(
            f"{file.path} of {file.repository} is not the file that was published: its SHA-256 begins with "
            f"{digest[:8]}, {wanted[:8]} is stated. It was removed; repeat the command to fetch it again"
        )


def _explain(hub: ModuleType, error: Exception, file: HubFile | None) -> str:
    """Describes why a request failed, and what to do, in one line."""
    errors, host = hub.errors, hub.constants.ENDPOINT
    status = getattr(getattr(error, "response", None), "status_code", None)
    what = f"{file.path} of {file.repository}" if file else "it"
    if isinstance(error, errors.GatedRepoError):
        return f"{what} is gated: accept its terms on its page at {host}, then {_LOG_IN}"
    if isinstance(error, errors.HFValidationError):
        return f"{what}: a repository is named OWNER/NAME ({_first_line(error)})"
    if isinstance(error, errors.RevisionNotFoundError) and file:
        return f"{file.repository} has no revision {file.revision}: name a branch, a tag or a commit"
    if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 403):
        return f"{what} does not exist at {host}, or you may not use it: check the name, or {_LOG_IN}"
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        return _explain_absence(hub, error, what)
    if isinstance(error, errors.EntryNotFoundError) and file:
        return f"{file.repository} has no file {file.path} in its revision {file.revision}"
    return f"{what} could not be transferred ({_first_line(error)}): repeat the command"


def _explain_absence(hub: ModuleType, error: Exception, what: str) -> str:
    """Describes why the hub was not reached for a file that is not in the cache."""
    if hub.constants.HF_HUB_OFFLINE:
        return f"{what} is not in the cache, and HF_HUB_OFFLINE forbids to fetch it: unset it once"
    return (
        f"{what} is not in the cache, and {hub.constants.ENDPOINT} could not be reached "
        f"({_first_line(error.__cause__ or error)}): repeat the command with a connection"
    )


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[0].strip()[:_REASON_LENGTH].rstrip(".:")
