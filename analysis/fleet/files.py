"""Captures of a fleet where they lie, on disks or in a store of objects, by fsspec: what there is, what has changed."""

from __future__ import annotations

import glob
import logging
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError, printable

SUFFIXES = (".csv", ".json", ".txt")
_TAGS = ("ETag", "etag", "md5Hash", "generation", "content_md5")
_CHANGED = ("mtime", "LastModified", "last_modified", "updated")
_SCHEME = "://"
_NOWHERE = "link to nothing"


@dataclass(frozen=True)
class Listed:
    """A capture. name: its absolute path or URL.

    mark: another where its content is another: the store's tag, or size and time.
    changed_us: microseconds since 1970, None where the store does not tell.
    """

    name: str
    mark: str
    size: int
    changed_us: int | None = None

    @property
    def folder(self) -> str:
        """The name of the folder that it lies in."""
        return printable(self.name.rstrip("/").rpartition("/")[0].rpartition("/")[2])


def is_remote(name: str) -> bool:
    """Whether it is a URL such as `s3://bucket/captures`."""
    return _SCHEME in name


def listed(patterns: Sequence[str]) -> list[Listed]:
    """Captures meant by files, patterns (`**` for folders at any depth), folders and URLs, each once, in their order.

    AnalysisError where one names none, or the store cannot be reached.
    """
    found: dict[str, Listed] = {}
    for pattern in patterns:
        system, path = opened(pattern)
        try:
            entries = _entries(system, path, pattern)
        except FileNotFoundError:
            raise AnalysisError("no such file", path=pattern) from None
        except Exception as error:  # each store has errors of its own
            raise AnalysisError(f"cannot be listed: {_words(error)}", path=pattern) from None
        if not entries:
            raise AnalysisError(f"no captures ({', '.join('*' + each for each in SUFFIXES)}) there", path=pattern)
        for name, entry in sorted(entries.items()):
            full = system.unstrip_protocol(name) if is_remote(pattern) else name
            found[full] = _listed(full, entry)
    return list(found.values())


def _entries(system: Any, path: str, pattern: str) -> Mapping[str, Mapping[str, Any]]:
    """Name -> what the store says of it, of files alone."""
    if glob.has_magic(path) and not (not is_remote(pattern) and Path(pattern).exists()):
        entries = system.glob(path, detail=True)
    else:
        entry = system.info(path)
        if entry["type"] != "directory":
            return {str(entry["name"]): entry}
        entries = system.find(path, detail=True)
        entries = {name: each for name, each in entries.items() if name.endswith(SUFFIXES)}
    found = {name: each if is_remote(pattern) else _followed(name, each) for name, each in entries.items()}
    # a pipe or device among others, which may have no end, is no capture; one that is named is read
    return {name: each for name, each in found.items() if each["type"] in ("file", _NOWHERE)}


def _followed(name: str, entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is said of a link's file, whose time and size are not the link's; of others what was said."""
    if entry["type"] != "other":
        return entry
    try:
        status = Path(name).stat()
    except OSError:
        return {**entry, "type": _NOWHERE}
    kind = "file" if stat.S_ISREG(status.st_mode) else "other"
    return {**entry, "type": kind, "size": status.st_size, "mtime": status.st_mtime}


def _listed(name: str, entry: Mapping[str, Any]) -> Listed:
    size = int(entry.get("size") or 0)
    changed = next((entry[key] for key in _CHANGED if entry.get(key) is not None), None)
    if isinstance(changed, datetime):
        changed = changed.timestamp()
    changed_us = round(1e6 * changed) if isinstance(changed, int | float) else None
    tag = next((str(entry[key]).strip('"') for key in _TAGS if entry.get(key)), "")
    return Listed(name, tag or f"{size} bytes, {changed_us}", size, changed_us)


@contextmanager
def brought(capture: Listed) -> Iterator[Path]:
    """A path at which the capture can be read in this block; a remote one is copied. OSError where that fails."""
    if not is_remote(capture.name):
        yield Path(capture.name)
        return
    system, path = opened(capture.name)
    with tempfile.TemporaryDirectory(prefix="q4-fleet-") as folder:
        target = Path(folder) / ("capture" + Path(path).suffix)
        try:
            system.get_file(path, str(target))
        except OSError:
            raise
        except Exception as error:  # each store has errors of its own
            raise OSError(_words(error)) from None
        yield target


def opened(name: str) -> tuple[Any, str]:
    """The file system of a path or URL, and the path within. AnalysisError where there is no such kind."""
    import fsspec

    for library in ("botocore", "aiobotocore", "s3fs"):
        logging.getLogger(library).setLevel(logging.CRITICAL)  # what they say is said in one line here
    try:
        if is_remote(name):
            return _system(fsspec, name.partition(_SCHEME)[0]), name.partition(_SCHEME)[2]
        return _system(fsspec, "file"), str(Path(name).absolute())
    except ImportError as error:
        raise AnalysisError(f"needs a package that is missing: {error}", path=name) from None
    except ValueError as error:
        raise AnalysisError(str(error), path=name) from None


@cache
def _system(fsspec: Any, protocol: str) -> Any:
    return fsspec.filesystem(protocol, use_listings_cache=False)


def _words(error: Exception) -> str:
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(said).split())
