"""Models by the names that they have on Hugging Face: ``user/repo[:QUANT]``.

What lies in the cache that Hugging Face's own tools share is taken from there, without a network and without a package.
What does not is downloaded by the huggingface_hub package. What a killed download left goes with the next.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from q4engine.errors import Q4Error, shown
from q4engine.gguf.split import paths_of
from q4engine.home import expanded

PREFERRED = ("Q4_K_M", "Q4_0", "Q8_0")
"""What is taken where nobody says, the first that there is; as llama.cpp begins too."""

_NAME = re.compile(r"([A-Za-z0-9][\w.-]*)/([A-Za-z0-9][\w.-]*?)(?::([\w.-]+))?")
_REVISION = "main"


@dataclass(frozen=True)
class HubModel:
    """A repository, and the quantisation that is wanted (None: the first of PREFERRED)."""

    repo: str
    quant: str | None

    @classmethod
    def parse(cls, text: str) -> HubModel:
        """Q4Error for what is no ``user/repo[:QUANT]``."""
        match = _NAME.fullmatch(text)
        if match is None or ".." in text:
            raise Q4Error(f"{shown(text)} is no user/repo[:QUANT]")
        return cls(f"{match[1]}/{match[2]}", None if match[3] == "latest" else match[3])  # as llama.cpp has it

    @property
    def name(self) -> str:
        return self.repo if self.quant is None else f"{self.repo}:{self.quant}"

    def choose(self, files: Iterable[str]) -> str:
        """Of a repository's files, the GGUF file that is meant, of a split model the first. Q4Error without one."""
        models = sorted(
            file
            for file in files
            if file.lower().endswith(".gguf") and "mmproj" not in file.lower() and _is_first_part(file)
        )
        if not models:
            raise Q4Error(f"{self.repo} has no GGUF file")
        for quant in PREFERRED if self.quant is None else (self.quant,):
            found = [file for file in models if _has_quant(file, quant)]
            if found:
                return min(found, key=len)
        if self.quant is None:
            return models[0]
        raise Q4Error(f"{self.repo} has no GGUF file of {shown(self.quant)}, but {_listed(models)}")


def find_model(model: HubModel, say: Callable[[str], None]) -> Path:
    """The model's file, in the cache; downloaded to it where it is not. ``say`` is told of a download.

    Q4Error where the repository, the quantisation or the network is not there.
    """
    snapshot = _snapshot(_cache() / f"models--{model.repo.replace('/', '--')}")
    if snapshot is not None:
        files = [str(path.relative_to(snapshot)) for path in snapshot.rglob("*") if path.is_file()]
        try:
            path = snapshot / model.choose(files)
        except Q4Error:
            pass  # what is in the cache is another quantisation
        else:
            if all(part.is_file() for part in paths_of(path)):
                return path
    return _download(model, say)


def _cache() -> Path:
    """Where Hugging Face's tools keep what they download."""
    for variable, below in (("HF_HUB_CACHE", ""), ("HUGGINGFACE_HUB_CACHE", ""), ("HF_HOME", "hub")):
        if os.environ.get(variable):
            return expanded(os.environ[variable]) / below
    return expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface" / "hub"


def _snapshot(folder: Path) -> Path | None:
    """The snapshot that ``main`` was when it was last asked for, else the newest; None where there is none."""
    try:
        revision = (folder / "refs" / _REVISION).read_text().strip()
        if re.fullmatch(r"[0-9a-f]{4,64}", revision) and (folder / "snapshots" / revision).is_dir():
            return folder / "snapshots" / revision
    except (OSError, UnicodeDecodeError):
        pass
    try:
        found = [path for path in (folder / "snapshots").iterdir() if path.is_dir()]
    except OSError:
        return None
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def _remove_abandoned(cache: Path, repo: str) -> None:
    """Parts of files that killed downloads left. Newer releases of huggingface_hub give each a name of its own, and
    never go on with it; downloads under way hold a lock."""
    folder = f"models--{repo.replace('/', '--')}"
    for part in (cache / folder / "blobs").glob("*.*.incomplete"):
        lock = cache / ".locks" / folder / f"{part.name.partition('.')[0]}.lock"
        with contextlib.suppress(OSError), lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()


def _download(model: HubModel, say: Callable[[str], None]) -> Path:
    try:
        from huggingface_hub import HfApi, hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
        from huggingface_hub.errors import RepositoryNotFoundError as NotFound
    except ImportError:
        how = "downloading needs a package: pip install 'q4engine[hub]'"
        raise Q4Error(f"{model.name} is not in {_cache()}, and {how}") from None
    try:
        name = model.choose(HfApi().list_repo_files(model.repo, revision=_REVISION))
        if ".." in PurePosixPath(name).parts or name.startswith("/"):
            raise Q4Error(f"{model.repo} names the file {shown(name)}, expected one of its own")
        say(f"downloading {name} of {model.repo}")
        cache = _cache()
        _remove_abandoned(cache, model.repo)
        paths = [
            Path(hf_hub_download(model.repo, str(part), revision=_REVISION, cache_dir=cache))
            for part in paths_of(Path(name))
        ]
    except OfflineModeIsEnabled:
        raise Q4Error(f"{model.name} is not in {_cache()}, and HF_HUB_OFFLINE is set") from None
    except NotFound:  # gated ones are such too
        raise Q4Error(f"{model.repo} is no repository, or one that asks for a login (hf auth login)") from None
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise Q4Error(f"{model.name} cannot be downloaded: {_first_line(error)}") from None
    except Exception as error:  # its HTTP library's own kinds, which differ between releases
        if not type(error).__module__.startswith(("http", "requests", "huggingface_hub")):
            raise
        raise Q4Error(f"{model.name} cannot be downloaded: {_first_line(error)}") from None
    return paths[0]


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _is_first_part(file: str) -> bool:
    parts = paths_of(Path(file))
    return len(parts) == 1 or parts[0].name == Path(file).name


def _has_quant(file: str, quant: str) -> bool:
    """Whether a name has the quantisation as a word of its own: Q4_K_M is no Q4_K."""
    return re.search(rf"(?i)(?<![a-z0-9_]){re.escape(quant)}(?![a-z0-9_])", file) is not None


def _listed(files: list[str]) -> str:
    return ", ".join(files[:8]) + (f" and {len(files) - 8} more" if len(files) > 8 else "")
