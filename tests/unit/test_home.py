"""Files below a home, and users without one, as containers have them: a run needs none."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest
from cli_runs import Cli

from q4engine import hub, tuned
from q4engine.cli.chat.questions import history_path
from q4engine.errors import Q4Error
from q4engine.home import expanded


def nobody(uid: int) -> pwd.struct_passwd:
    raise KeyError(uid)


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "Q4_HISTORY", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)


def test_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert expanded("~/a b") == Path("/somewhere/a b") and expanded("a/~") == Path("a/~")
    with pytest.raises(Q4Error, match=r"^~no-such-user/x: there is no such user$"):
        expanded("~no-such-user/x")
    monkeypatch.setenv("Q4_HISTORY", "~no-such-user/x")
    assert history_path() is None


@pytest.mark.usefixtures("homeless")
def test_without_a_home(q4: Cli, tiny: Path) -> None:
    for words in (("run", tiny, "-p", "abc", "-n", 2, "--no-chat"), ("bench", tiny, "-p", 4, "-n", 2, "-r", 1)):
        result = q4(*words)
        assert result.code == 0 and "home" not in result.err
    assert history_path() is None and tuned.find(tiny) is None
    for call in (
        lambda: tuned.keep(tiny, tuned.Choice(1, 1)),
        lambda: hub.find_model(hub.HubModel("a/b", None), print),
    ):
        with pytest.raises(Q4Error, match=r"^~/\.cache: there is no home \(HOME is not set\)$"):
            call()
