"""-hf: names, the choice of a file, the shared cache, and downloads from a stand-in server on the loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import COMMIT, HubServer, serving
from split_files import part_name, split_model

from q4engine.errors import Q4Error
from q4engine.hub import HubModel, find_model

REPO = Path(__file__).resolve().parents[2]
FILES = [
    "README.md",
    "m-BF16.gguf",
    "m-Q4_K_M.gguf",
    "m-Q4_K_S.gguf",
    "m-Q4_0.gguf",
    "mmproj-m-Q8_0.gguf",
    "big/m-Q8_0-00001-of-00002.gguf",
    "big/m-Q8_0-00002-of-00002.gguf",
    "m.IQ4_XS.gguf",
]


def test_names() -> None:
    assert HubModel.parse("bartowski/Qwen2.5-0.5B-Instruct-GGUF:q4_k_m") == HubModel(
        "bartowski/Qwen2.5-0.5B-Instruct-GGUF", "q4_k_m"
    )
    assert HubModel.parse("a/b").quant is None and HubModel.parse("a/b:latest") == HubModel("a/b", None)
    for text in ("", "a", "a/", "/b", "a/b/c", "a/b:", "../b", "a/..", "a b/c", "a/b:c:d", "https://x/y"):
        with pytest.raises(Q4Error, match=r"is no user/repo\[:QUANT\]"):
            HubModel.parse(text)


@pytest.mark.parametrize(
    ("quant", "expected"),
    [
        (None, "m-Q4_K_M.gguf"),
        ("q4_0", "m-Q4_0.gguf"),
        ("Q8_0", "big/m-Q8_0-00001-of-00002.gguf"),
        ("iq4_xs", "m.IQ4_XS.gguf"),
        ("bf16", "m-BF16.gguf"),
    ],
)
def test_the_file_that_is_meant(quant: str | None, expected: str) -> None:
    assert HubModel("a/b", quant).choose(FILES) == expected


def test_files_that_are_none() -> None:
    with pytest.raises(Q4Error, match=r"a/b has no GGUF file of 'Q4_K', but .*m-BF16\.gguf"):
        HubModel("a/b", "Q4_K").choose(FILES)
    with pytest.raises(Q4Error, match=r"a/b has no GGUF file$"):
        HubModel("a/b", None).choose(["README.md", "mmproj-x.gguf"])
    assert HubModel("a/b", None).choose(["x-F16.gguf", "x-Q5_0.gguf"]) == "x-F16.gguf"


def cached(home: Path, revision: str = COMMIT, main: str | None = COMMIT, repo: str = "me/tiny") -> Path:
    folder = home / "hub" / f"models--{repo.replace('/', '--')}"
    (folder / "snapshots" / revision).mkdir(parents=True)
    if main is not None:
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / "main").write_text(main)
    return folder / "snapshots" / revision


def no_download(_: str) -> None:
    pytest.fail("there is nothing to download")


def test_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    new, old = cached(tmp_path), cached(tmp_path, "f" * 40)
    for folder in (new, old):
        (folder / "m-Q4_0.gguf").write_bytes(b"x")
    assert find_model(HubModel("me/tiny", None), no_download) == new / "m-Q4_0.gguf"
    (tmp_path / "hub" / "models--me--tiny" / "refs" / "main").unlink()
    os.utime(old, (2e9, 2e9))
    assert find_model(HubModel("me/tiny", "q4_0"), no_download) == old / "m-Q4_0.gguf"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    assert find_model(HubModel("me/tiny", "q4_0"), no_download) == old / "m-Q4_0.gguf"


def test_a_revision_that_leads_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    snapshot = cached(tmp_path, main="../../../../etc")
    (snapshot / "m.gguf").write_bytes(b"x")
    assert find_model(HubModel("me/tiny", None), no_download) == snapshot / "m.gguf"


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(Q4Error, match=r"me/tiny:Q4_0 is not in .*pip install 'q4engine\[hub\]'"):
        find_model(HubModel("me/tiny", "Q4_0"), no_download)


# ---- downloads -------------------------------------------------------------------------------------------------------


def q4(home: Path, endpoint: str, *words: str, offline: bool = False) -> subprocess.CompletedProcess[str]:
    """A process of its own: the package reads its variables once."""
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    env = {**kept, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN"):
        env.pop(name, None)
    if offline:
        env["HF_HUB_OFFLINE"] = "1"
    command = [sys.executable, "-m", "q4engine", "tokenize", "-hf", *words, "-p", "abc", "--count"]
    return subprocess.run(command, env=env, cwd=REPO, capture_output=True, text=True, stdin=subprocess.DEVNULL)


@pytest.fixture
def server(tiny: Path, tmp_path: Path):
    first = split_model(tiny, tmp_path, count=2)
    parts = {name: (tmp_path / name).read_bytes() for name in (first.name, part_name("model", 1, 2))}
    whole = {"tiny-Q4_0.gguf": tiny.read_bytes()} | {f"parts-Q8_0/{name}": raw for name, raw in parts.items()}
    with serving("me/tiny", {**whole, "README.md": b"# tiny"}) as running:
        yield running


def test_a_download_and_the_cache_behind_it(server: HubServer, tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = q4(home, server.endpoint, "me/tiny")
    assert first.returncode == 0 and first.stdout == "2\n", first.stderr
    assert "downloading tiny-Q4_0.gguf of me/tiny" in first.stderr
    snapshot = home / "hub" / "models--me--tiny" / "snapshots" / COMMIT
    assert (snapshot / "tiny-Q4_0.gguf").read_bytes() == server.files["tiny-Q4_0.gguf"]
    server.requests.clear()
    again = q4(home, server.endpoint, "me/tiny:q4_0")
    assert again.stdout == "2\n" and again.stderr == "" and server.requests == []
    assert q4(home, server.endpoint, "me/tiny", offline=True).stdout == "2\n"


def test_a_connection_that_breaks(server: HubServer, tmp_path: Path) -> None:
    server.cut = 20_000
    done = q4(tmp_path / "home", server.endpoint, "me/tiny")
    assert done.returncode == 0 and done.stdout == "2\n", done.stderr
    gets = [path for kind, path, _ in server.requests if kind == "GET" and path.endswith("tiny-Q4_0.gguf")]
    assert len(gets) == 2


def test_all_parts_of_a_model(server: HubServer, tmp_path: Path) -> None:
    done = q4(tmp_path / "home", server.endpoint, "me/tiny:Q8_0")
    assert done.returncode == 0 and done.stdout == "2\n", done.stderr
    snapshot = tmp_path / "home" / "hub" / "models--me--tiny" / "snapshots" / COMMIT
    assert len(list((snapshot / "parts-Q8_0").iterdir())) == 2


def test_what_cannot_be_had(server: HubServer, tmp_path: Path) -> None:
    home = tmp_path / "home"
    missing = q4(home, server.endpoint, "me/none")
    assert missing.returncode == 1 and missing.stderr.startswith("error: me/none is no repository, or one that asks")
    quant = q4(home, server.endpoint, "me/tiny:Q6_K")
    assert "error: me/tiny has no GGUF file of 'Q6_K', but parts-Q8_0/" in quant.stderr
    offline = q4(home, server.endpoint, "me/tiny", offline=True)
    assert offline.returncode == 1 and "HF_HUB_OFFLINE is set" in offline.stderr
    assert q4(home, server.endpoint, "nonsense").stderr == "error: 'nonsense' is no user/repo[:QUANT]\n"


@pytest.mark.long
def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    """Which the package tries six times, for half a minute."""
    unreachable = q4(tmp_path, "http://127.0.0.1:1", "me/tiny")
    last = unreachable.stderr.splitlines()[-1]
    assert unreachable.returncode == 1 and last.startswith("error: me/tiny cannot be downloaded: ")
    assert "Traceback" not in unreachable.stderr
