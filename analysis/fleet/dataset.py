"""The dataset of a fleet: Parquet files of rows (`analysis.fleet.rows`), by the month in which captures were made.

Files are added and never changed, each whole or not at all. Where a capture was summarised more than once, because it
had changed, its latest rows count.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import outputs
from analysis.errors import AnalysisError
from analysis.fleet.files import is_remote, opened
from analysis.fleet.rows import COLUMNS, FLAG, NUMBER, TEXT, TIME, UNREADABLE, WHOLE, Row

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "1"
MARKER = "_q4engine_fleet"
"""A file that tells a dataset from any other folder; its content is the number of the format."""
_ENOUGH = 4000
"""Rows that are kept in memory before they become files."""


class Dataset:
    """Rows that are kept in a folder or below a URL, or, with '', in memory alone."""

    def __init__(self, where: str = "") -> None:
        """AnalysisError where there is something else."""
        self.where = where.rstrip("/") if len(where) > 1 else where
        self._tables: list[Any] = []
        self._waiting: list[Row] = []
        self._is_begun = False
        if where:
            self._system, self._root = opened(self.where)
            self._check()

    def _check(self) -> None:
        try:
            if not self._system.exists(self._root):
                return
            if not self._system.isdir(self._root):
                raise AnalysisError("is a file, and a dataset is a folder", path=self.where)
            marker = f"{self._root}/{MARKER}"
            if self._system.exists(marker):
                version = self._system.cat_file(marker).decode(errors="replace").strip()
                if version != FORMAT:
                    raise AnalysisError(f"has version {version!r} of the dataset's format, not {FORMAT}", path=marker)
            elif self._system.ls(self._root):
                raise AnalysisError("is no dataset of this command, and not empty", path=self.where)
        except AnalysisError:
            raise
        except Exception as error:  # each store has errors of its own
            raise AnalysisError(f"cannot be read: {error}", path=self.where) from None

    def begin(self) -> None:
        """Makes the dataset where there is none yet. AnalysisError where it cannot be written: before work is done."""
        if self.where and not self._is_begun:
            self._write(MARKER, f"{FORMAT}\n".encode())
            self._is_begun = True

    def known(self) -> dict[str, str]:
        """Path of each capture that has been summarised -> its mark then."""
        frame = self.frame(("path", "mark", "state", "read"))
        frame = frame[frame["state"] != UNREADABLE]
        return dict(zip(frame["path"], frame["mark"], strict=True))

    def add(self, rows: Iterable[Row]) -> None:
        """Adds rows, of whole captures. AnalysisError where they cannot be written."""
        self._waiting += rows
        if len(self._waiting) >= _ENOUGH:
            self.flush()

    def flush(self) -> None:
        """Writes what waits: a file for each month."""
        waiting, self._waiting = self._waiting, []
        if not self.where:
            self._tables += [_table(waiting)] if waiting else []
            return
        if waiting:
            self.begin()
        by_month: dict[str, list[Row]] = {}
        for row in waiting:
            by_month.setdefault(_month(row["started"]), []).append(row)
        for month, rows in sorted(by_month.items()):
            self._write(f"month={month}/part-{secrets.token_hex(8)}.parquet", _bytes(_table(rows)))

    def _write(self, name: str, data: bytes) -> None:
        try:
            if is_remote(self.where):
                self._system.pipe_file(f"{self._root}/{name}", data)
                return
            path = Path(self.where) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            outputs.write(path, data)
        except Exception as error:  # each store has errors of its own
            said = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise AnalysisError(f"cannot be written: {said}", path=f"{self.where}/{name}") from None

    def frame(self, columns: Sequence[str] = ()) -> pd.DataFrame:
        """The latest rows of every capture. columns: those alone, `path` and `read` among them; all without."""
        import pyarrow as pa

        self.flush()
        tables = self._tables if not self.where else [self._read(path, columns) for path in self._parts()]
        schema = pa.schema([field for field in _schema() if not columns or field.name in columns])
        if not tables:
            return schema.empty_table().to_pandas()
        numbered = [each.append_column("part", pa.array([n] * len(each), pa.int64())) for n, each in enumerate(tables)]
        frame: pd.DataFrame = pa.concat_tables(numbered).to_pandas()
        for rank in ("read", "part"):
            if len(tables) > 1:
                frame = frame[frame[rank] == frame.groupby("path")[rank].transform("max")]
        frame = frame.drop(columns="part").reset_index(drop=True)
        for column in frame.columns:
            if COLUMNS[column] == TEXT:
                frame[column] = frame[column].fillna("")
        return frame

    def _parts(self) -> list[str]:
        if not self._system.exists(self._root):
            return []
        return sorted(self._system.glob(f"{self._root}/month=*/part-*.parquet"))

    def _read(self, path: str, columns: Sequence[str]) -> Any:
        import pyarrow as pa
        from pyarrow import parquet

        try:
            source = io.BytesIO(self._system.cat_file(path))
            table = parquet.ParquetFile(source).read(list(columns) or None)
            wanted = [field for field in _schema() if not columns or field.name in columns]
            return table.select([field.name for field in wanted]).cast(pa.schema(wanted))
        except (pa.ArrowException, OSError, KeyError) as error:
            said = " ".join(str(error).split())
            what = "remove it, and captures that it has are read again"
            raise AnalysisError(f"cannot be read: {said.rstrip('.')}; {what}", path=path) from None


def _schema() -> Any:
    import pyarrow as pa

    kinds = {
        TEXT: pa.string(),
        NUMBER: pa.float64(),
        WHOLE: pa.int64(),
        FLAG: pa.bool_(),
        TIME: pa.timestamp("us", tz="UTC"),
    }
    return pa.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])


def _table(rows: Sequence[Row]) -> Any:
    import pyarrow as pa

    return pa.Table.from_pylist(list(rows), schema=_schema())


def _bytes(table: Any) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _month(started: object) -> str:
    if not isinstance(started, int):
        return "unknown"
    try:
        return datetime.fromtimestamp(started / 1e6, UTC).strftime("%Y-%m")
    except (OverflowError, ValueError, OSError):
        return "unknown"
