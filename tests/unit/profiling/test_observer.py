"""One stamp a call, shared by all that show it; files completed whatever ends the run."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import bits
import pytest
from annotate_daemon import Daemon, wait
from capture_runs import PROMPT, calls_of, observed_run, read_capture
from endless import write_endless
from heard_signals import heard

import annotate
import q4engine.profiling.observer
from analysis.readers import read
from annotate import Endpoints
from q4engine.cli import main
from q4engine.engine import Call, Engine
from q4engine.profiling.counters import Counters
from q4engine.profiling.observer import Observation, Observer, observe
from q4engine.profiling.recording import Level, Record
from q4engine.profiling.streamline import PHASE_COLORS

TEXTS = ["past 0, n_eval 12", "past 12, n_eval 3", "past 15, n_eval 1", "past 16, n_eval 1", "past 17, n_eval 1"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bits.write_model("llama", tmp_path_factory.mktemp("model"))


def connected_run(model: Path, what: Observation) -> None:
    """As capture_runs.observed_run, once the client has found the daemon; a warm-up before."""
    session = Engine.load(model, n_threads=1).session(n_ctx=64, n_batch=12)
    client: list[annotate.Streamline] = []
    original = annotate.streamline

    def kept(mode: annotate.Mode, where: Endpoints) -> annotate.Streamline:
        client.append(original(mode, where))
        return client[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(annotate, "streamline", kept)
        with observe(session, what):
            wait(lambda: client[0].connected)
            with session.unobserved():
                session.decode([1, 2, 3])
            session.truncate(0)
            session.decode(PROMPT)
            for token in range(3):
                session.decode([token])


def test_all_share_one_stamp_a_call(model: Path, tmp_path: Path, endpoints: Endpoints) -> None:
    what = Observation(
        streamline="auto", endpoints=endpoints, markers=tmp_path / "m.csv", capture=tmp_path / "c.csv", events="none"
    )
    with Daemon(endpoints) as daemon:
        connected_run(model, what)
        daemon.wait(lambda: len(daemon.markers) == len(TEXTS))
        (stream,) = daemon.streams
    markers = [message for message in stream.messages if message.kind == "marker"]
    assert [marker.text for marker in markers] == TEXTS
    prefill, decode = ((c.red, c.green, c.blue) for c in (PHASE_COLORS["prefill"], PHASE_COLORS["decode"]))
    assert [marker.color for marker in markers] == [prefill] * 2 + [decode] * 3 and prefill != decode
    with (tmp_path / "m.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    stamps = [marker.time for marker in markers]
    assert [int(row["time_ns"]) for row in rows[:-1]] == stamps
    assert [f"past {row['n_past']}, n_eval {row['n_eval']}" for row in rows] == [*TEXTS, "past 18, n_eval 0"]
    assert [row["phase"] for row in rows] == ["prefill"] * 2 + ["decode"] * 3 + ["end"]
    _, calls = read_capture(tmp_path / "c.csv")
    assert [int(row["start_ns"]) for row in calls] == stamps
    assert int(rows[-1]["time_ns"]) == int(calls[-1]["start_ns"]) + int(calls[-1]["duration_ns"])
    found = read(tmp_path / "m.csv").markers
    assert [(m.n_past, m.n_eval) for m in found][:5] == [(0, 12), (12, 3), (15, 1), (16, 1), (17, 1)]


def test_a_channel_for_every_kind_of_operation(model: Path, endpoints: Endpoints) -> None:
    what = Observation(streamline="auto", operation_channels=True, endpoints=endpoints)
    with Daemon(endpoints) as daemon:
        connected_run(model, what)
        daemon.wait(lambda: daemon.closed_connections >= 1)
        (stream,) = daemon.streams
    channels = {m.channel: m.text for m in stream.messages if m.kind == "channel"}
    engine = Engine.load(model, n_threads=1)
    many = {"gemm"} if engine.native.few_tokens() < 12 else set()
    assert set(channels.values()) == many | {
        "embedding", "rms_norm", "quantize_activations", "gemv", "rope", "kv_store", "attention", "swiglu",
    }  # fmt: skip
    strings = [m for m in stream.messages if m.kind == "string"]
    starts, ends = strings[0::2], strings[1::2]
    assert all(start.text and not end.text for start, end in zip(starts, ends, strict=True))
    assert all(
        start.channel == end.channel and start.time <= end.time  # type: ignore[operator]
        for start, end in zip(starts, ends, strict=True)
    )
    n_ops = len(engine.graph.ops)
    assert len(starts) == n_ops * len(TEXTS)
    times = [m.time for m in stream.messages if m.kind in ("marker", "string", "value")]
    assert times == sorted(times)  # type: ignore[type-var]
    counters = [m.text for m in stream.messages if m.kind == "counter"]
    assert len(counters) == 3 and all(text for text in counters)
    values = [m for m in stream.messages if m.kind == "value"]
    assert len(values) == 2 * len(TEXTS) and all(m.value > 0 for m in values)  # type: ignore[operator]


def test_a_session_observed_twice_is_recorded_once(model: Path, tmp_path: Path) -> None:
    session = Engine.load(model, n_threads=1).session(n_ctx=64)
    for name in ("a.csv", "b.csv"):
        with observe(session, Observation(capture=tmp_path / name, events="none")):
            session.decode([1])
    assert [len(read_capture(tmp_path / name)[1]) for name in ("a.csv", "b.csv")] == [1, 1]


def test_groups_take_turns_in_each_phase(model: Path) -> None:
    from q4engine.profiling.counters import Group

    group = Group("sw", "software", ("task-clock",), ((1, 1, True),))
    counters = Counters([group, group], [(0,), (1,)])
    session = Engine.load(model, n_threads=1).session(n_ctx=64, n_batch=4)
    observer = Observer(session, Level.CALLS, counters)

    class Sink:
        def __init__(self) -> None:
            self.counted: list[tuple[str, tuple[int, ...]]] = []

        def write(self, record: object) -> None:
            self.counted.append((record.call.phase, record.counted))  # type: ignore[attr-defined]

    sink = Sink()
    observer.live.append(sink)
    observer.start()
    if counters is not observer.counters:
        pytest.skip("no software events here")
    session.observers.append(observer)
    session.decode(PROMPT)
    session.decode([1])
    session.decode([2])
    observer.finish()
    observer.stop()
    assert sink.counted == [
        ("prefill", (0,)), ("prefill", (1,)), ("prefill", (0,)), ("prefill", (1,)), ("decode", (0,)), ("decode", (1,)),
    ]  # fmt: skip


def test_what_waits_too_long_is_written_between_calls(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(q4engine.profiling.observer, "_LATE_BYTES", 1)
    monkeypatch.setattr(q4engine.profiling.observer, "_OFTEN_NS", 1)
    session = Engine.load(model, n_threads=1).session(n_ctx=64)
    with observe(session, Observation(capture=tmp_path / "c.csv", per_op=True, events="none")):
        session.decode([1])
        assert len(read_capture(tmp_path / "c.csv")[1]) > 10


def test_phases_are_told_where_they_change(model: Path) -> None:
    session, told = Engine.load(model, n_threads=1).session(n_ctx=64), list[str]()
    session.tell_phases(told.append)
    for tokens in (PROMPT, [1], [2]):
        session.decode(tokens)
    with session.unobserved():
        session.decode([1, 2])
    session.decode([3])
    session.decode([1], phase="verify")
    assert told == ["prefill", "decode", "verify"]
    session.tell_phases(None)
    session.decode([1])
    assert len(told) == 3


def test_nobody_runs_between_calls_where_a_recorder_can_tell_it_all(model: Path, tmp_path: Path) -> None:
    session = Engine.load(model, n_threads=1).session(n_ctx=64)
    what = Observation(capture=tmp_path / "c.csv", markers=tmp_path / "m.csv", events="none")
    with observe(session, what) as observer:
        assert session.observers == []
        session.decode(PROMPT)
        with session.unobserved():
            session.decode([1])
        session.decode([2])
    assert session.collect is None
    n = len(PROMPT)
    _, rows = read_capture(tmp_path / "c.csv")
    assert [(row["n_past"], row["n_eval"]) for row in rows] == [("0", str(n)), (str(n + 1), "1")]
    assert observer.cost.percent is not None and observer.cost.percent > 0


def test_a_record_gets_the_stamp_of_its_own_announcement(model: Path) -> None:
    """Calls that failed were announced and left no record; calls that an interrupt came behind left one."""
    session = Engine.load(model, n_threads=1).session(n_ctx=64)
    observer = Observer(session, Level.CALLS, Counters())
    stamps = []
    observer.announce.append(lambda text, call, time_ns: stamps.append(time_ns))
    records: list[Record] = []
    observer.late.append(SimpleNamespace(write=records.append))
    observer.start()
    observer.attach()
    session.decode([1])
    observer.before(Call(1, 1, "decode"))  # as a call that fails
    session.decode([2])
    observer.after = lambda call: None  # type: ignore[method-assign]
    session.decode([3])
    observer.finish()
    observer.stop()
    assert [record.start_ns for record in records] == [stamps[0], stamps[2], stamps[3]]
    assert [record.call.n_past for record in records] == [0, 1, 2]


class TestCommand:
    def test_files_and_text(self, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        common = ["run", str(model), "-p", "abc", "--no-chat", "-n", "5", "--temp", "0", "-t", "1"]
        assert main(common) == 0
        plain = capsys.readouterr().out
        paths = [tmp_path / name for name in ("c.csv", "m.csv", "t.json")]
        options = [f"{name}={path}" for name, path in zip(("--capture", "--markers", "--trace"), paths, strict=True)]
        assert main([*common, *options, "--per-op"]) == 0
        seen = capsys.readouterr()
        assert seen.out == plain
        assert all(path.stat().st_size for path in paths)
        header, _ = read_capture(paths[0])
        assert header["command"].startswith("q4engine ")
        assert seen.err.count("note: no counters: ") == (header["counters"] != "available")

    @pytest.mark.parametrize(
        "options",
        [
            ["--per-op"],
            ["--events", "cycles"],
            ["--annotate", "off", "--annotate-ops"],
            ["--annotate", "sometimes"],
            ["--capture", "same", "--trace", "same"],
        ],
    )
    def test_options_that_need_others(self, model: Path, options: list[str]) -> None:
        assert main(["run", str(model), "-p", "abc", *options]) == 2

    def test_a_wrong_event_shows_before_the_model_is_loaded(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        options = ["--capture", str(tmp_path / "c.csv"), "--events", "nonsense"]
        assert main(["run", str(tmp_path / "absent.gguf"), "-p", "abc", *options]) == 2
        assert "event 'nonsense' is not known" in capsys.readouterr().err
        assert not (tmp_path / "c.csv").exists()

    @pytest.mark.parametrize(
        ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGKILL, -9)]
    )
    def test_a_run_that_is_ended(self, tmp_path: Path, number: signal.Signals, code: int) -> None:
        model = write_endless(tmp_path / "synthetic-tiny.gguf")
        files = {"--capture": tmp_path / "c.csv", "--markers": tmp_path / "m.csv", "--trace": tmp_path / "t.json"}
        command = [sys.executable, "-W", "error", "-m", "q4engine", "run", str(model), "--temp", "0", "-t", "1"]
        command += ["--no-chat", "-p", "abc", "-c", "100000", *(str(x) for pair in files.items() for x in pair)]
        with heard(signal.SIGHUP, signal.SIGINT):
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.read(50)
        capture = files["--capture"]
        wait(lambda: capture.read_text().count("decode") > 10)  # it is handed over twice a second
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert process.returncode == code and b"Traceback" not in err
        header, rows = read_capture(files["--capture"])
        assert len(rows) > 10 and ("state" in header) == (number == signal.SIGKILL)
        markers = [(m.n_past, m.n_eval) for m in read(files["--markers"]).markers]
        assert len(markers) > 10
        assert files["--trace"].exists() == (number != signal.SIGKILL)
        if number != signal.SIGKILL:
            assert markers[:-1] == calls_of(rows)
            assert len(markers) - 1 == sum('"ph":"i"' in line for line in files["--trace"].read_text().splitlines())


def test_counting_every_operation_warns_of_its_cost(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = Observation(capture=tmp_path / "c.csv", per_op=True, events="none")
    for limit, warned in ((-1.0, True), (100.0, False)):
        monkeypatch.setattr(q4engine.profiling.observer, "COST_WARNING_PERCENT", limit)
        _, notes = observed_run(model, what)
        assert any("capturing every operation took" in note for note in notes) == warned


def test_counters_for_too_many_threads_are_left_out(model: Path, tmp_path: Path) -> None:
    """One of them could be opened, those of all threads cannot."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    session = Engine.load(model, n_threads=8).session(n_ctx=64)
    notes: list[str] = []
    used = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 6, limits[1]))
    try:
        with observe(session, Observation(capture=tmp_path / "c.csv", events="task-clock"), notes.append):
            session.decode([1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    header, rows = read_capture(tmp_path / "c.csv")
    if "perf_event" in header["counters"]:
        pytest.skip(f"no software events here: {header['counters']}")
    assert header["counters"].endswith("ulimit -n allows more") and len(rows) == 1
    assert notes == [f"note: no counters: {header['counters']}"]


def test_no_daemon_is_no_matter(model: Path, endpoints: Endpoints, capsys: pytest.CaptureFixture[str]) -> None:
    observed_run(model, Observation(streamline="auto", operation_channels=True, endpoints=endpoints))
    assert capsys.readouterr().err == ""
