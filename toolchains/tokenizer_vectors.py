"""Judges the tokenizers by published vectors: texts, and the ids that the models' own tokenizers give.

``python toolchains/tokenizer_vectors.py [--get]``. The vectors and their vocabularies are llama.cpp's test data, out of
the source distribution of llama-cpp-python: data here, nothing of it is built. --get brings them and judges nothing;
what cannot be had is said in one line, and the tests that need it skip.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from host import REPO, ToolError, main, pip, say

PACKAGE = "llama-cpp-python==0.3.36"
SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
FOLDER = REPO / ".models" / "tokenizer-vectors"
SEPARATOR = "\n__ggml_vocab_test__\n"
VOCABULARIES = (
    "command-r",
    "deepseek-coder",
    "deepseek-llm",
    "falcon",
    "gpt-2",
    "llama-bpe",
    "llama-spm",
    "mpt",
    "phi-3",
    "qwen2",
    "qwen35",
    "refact",
    "starcoder",
)
"""Those of the kinds that q4engine has: bert-bge is WordPiece, gemma-4 belongs to no architecture here."""


def path_of(name: str, folder: Path = FOLDER) -> Path:
    return folder / f"ggml-vocab-{name}.gguf"


@dataclass(frozen=True)
class Judgement:
    """``wrong``: texts with the ids that they should have and those that they got (or the error's text)."""

    pre: str
    n_texts: int
    wrong: list[tuple[str, list[int], list[int] | str]]


def read_vectors(path: Path) -> list[tuple[str, list[int]]]:
    """Texts and their ids, from the two files beside a vocabulary."""
    texts = Path(f"{path}.inp").read_text(encoding="utf-8").split(SEPARATOR)
    lines = Path(f"{path}.out").read_text(encoding="utf-8").split("\n")  # the last text is empty, and so is its line
    return [(text, [int(token) for token in line.split()]) for text, line in zip(texts, lines, strict=True)]


def judge(path: Path) -> Judgement:
    """Encodes every text of one vocabulary."""
    from q4engine.errors import Q4Error
    from q4engine.gguf import GGUFFile
    from q4engine.tokenizer import Tokenizer

    with GGUFFile.open(path) as gguf:
        is_spm = gguf.metadata.string("tokenizer.ggml.model") == "llama"
        pre = "SPM" if is_spm else gguf.metadata.string("tokenizer.ggml.pre", "default")
        tokenizer = Tokenizer.from_gguf(gguf)
    wrong: list[tuple[str, list[int], list[int] | str]] = []
    vectors = read_vectors(path)
    for text, ids in vectors:
        try:
            found: list[int] | str = tokenizer.encode(text, add_bos=False, parse_special=False)
        except Q4Error as error:
            found = str(error)
        if found != ids:
            wrong.append((text, ids, found))
    return Judgement(pre, len(vectors), wrong)


def get() -> None:
    """Brings what is missing. A file appears only when it is whole; the archive's checksum is known."""
    wanted = {f"{path_of(name).name}{end}" for name in VOCABULARIES for end in ("", ".inp", ".out")}
    if all((FOLDER / name).is_file() for name in wanted):
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix=".download-") as name:
        folder = Path(name)
        say(f"getting tokenizer vectors from {PACKAGE} (77 MB)")
        pip("download", "-qq", "--no-deps", "--no-build-isolation", "--no-binary=:all:", "--dest", folder, PACKAGE)
        archive = next(folder.glob("*.tar.gz"))
        with archive.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != SHA256:
            raise ToolError(f"{archive.name} has sha256 {found}, expected {SHA256}")
        with tarfile.open(archive) as members:
            for member in members:
                base = Path(member.name)
                source = members.extractfile(member) if base.name in wanted and base.parent.name == "models" else None
                if source is not None:
                    with source, (folder / base.name).open("wb") as target:
                        shutil.copyfileobj(source, target, 1 << 20)
                    (folder / base.name).replace(FOLDER / base.name)
                    wanted.remove(base.name)
    if wanted:
        raise ToolError(f"{PACKAGE} lacks {', '.join(sorted(wanted))}")


def run() -> int:
    parser = argparse.ArgumentParser(prog="tokenizer_vectors.py", description="Judges the tokenizers by vectors.")
    parser.add_argument("--get", action="store_true", help="bring the vectors and judge nothing")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(VOCABULARIES)}; all without")
    args = parser.parse_args()
    if args.get:
        try:
            get()
        except ToolError as error:
            say(f"{error}; tests of real vocabularies will skip")
        return 0
    get()
    n_wrong = 0
    print(f"{'vocabulary':<15} {'pre-tokenizer':<15} {'texts':>5} {'exact':>5}")
    for name in args.names or VOCABULARIES:
        found = judge(path_of(name))
        print(f"{name:<15} {found.pre:<15} {found.n_texts:>5} {found.n_texts - len(found.wrong):>5}")
        for text, ids, got in found.wrong:
            print(f"  {text!r}: {got}, expected {ids}")
        n_wrong += len(found.wrong)
    return 1 if n_wrong else 0


if __name__ == "__main__":
    main(run)
