"""The Streamline client against a daemon of the tests' own, in every state that a daemon can be in."""

import os
import threading

import pytest
from annotate_daemon import FAMILIES, Daemon, has_family, tcp_endpoints, wait

import annotate
from annotate import BLUE, ORANGE, CounterClass, Display, Endpoints, encode, outbox, sender


@pytest.fixture
def impatient(monkeypatch):
    """Retries come quickly, so that a test of several need not wait seconds."""
    monkeypatch.setattr(sender, "_RETRY_SECONDS", 0.02)
    monkeypatch.setattr(sender, "_DRAIN_SECONDS", 0.01)


class CountingEndpoints(Endpoints):
    """Counts how often the client looks for a daemon."""

    looks = 0

    def transports(self):
        type(self).looks += 1
        return super().transports()


@pytest.fixture
def counting(endpoints):
    CountingEndpoints.looks = 0
    return CountingEndpoints(endpoints.parent_name, endpoints.data_name, endpoints.parent_port, endpoints.data_port)


@pytest.mark.parametrize("family", FAMILIES)
def test_markers_arrive_with_their_thread_time_and_color(family, endpoints):
    if not has_family(family):
        pytest.skip(f"no {family} here")
    where = endpoints if family == "unix" else tcp_endpoints(family)
    with Daemon(where, family) as daemon:
        before = annotate.monotonic_raw_ns()
        with annotate.streamline(endpoints=where) as s:
            assert s.connected
            s.marker("past 0, n_eval 512", BLUE)
            s.marker("past 512, n_eval 88")
            after = annotate.monotonic_raw_ns()
            s.marker("given", time_ns=123456789012)
        daemon.wait(lambda: daemon.closed_connections == 1)
        (stream,) = daemon.streams
    assert (stream.thread_id, stream.process_id, stream.rest) == (threading.get_native_id(), os.getpid(), b"")
    first, second, given = stream.messages
    assert (first.kind, first.text, first.color) == ("marker", "past 0, n_eval 512", (0x1F, 0x77, 0xB4))
    assert (second.kind, second.text, second.color) == ("marker", "past 512, n_eval 88", None)
    assert before <= first.time <= second.time <= after
    assert given.time == 123456789012


def test_channels_and_counters_are_defined_once_before_their_first_use(endpoints):
    with Daemon(endpoints) as daemon:
        with annotate.streamline(endpoints=endpoints) as s:
            gemm = s.channel("GEMM", group="operations")
            gemv = s.channel("GEMV", group="operations")
            alone = s.channel("alone")
            rate = s.counter("Speed", "decode", units="tokens/s", scale=100, description="per call")
            kv = s.counter("Memory", "KV cache", units="B", counter_class=CounterClass.DELTA)
            gemm.start("blk.0", BLUE, time_ns=1000)
            gemv.start("blk.1", time_ns=2000)
            gemm.end(time_ns=3000)
            rate.value(12.345, time_ns=4000)
            rate.value(-1, core=3, time_ns=5000)
            kv.value(4096, time_ns=6000)
            with alone.span("block", ORANGE):
                pass
        daemon.wait(lambda: daemon.closed_connections == 1)
        (stream,) = daemon.streams
    said = [(m.kind, m.text, m.time) for m in stream.messages[:5]]
    assert said == [
        ("group", "operations", 1000),
        ("channel", "GEMM", 1000),
        ("string", "blk.0", 1000),
        ("channel", "GEMV", 2000),
        ("string", "blk.1", 2000),
    ]
    group, named, start, named_too, _, end, speed, value, per_core, memory, bytes_, *last = stream.messages
    assert named.group == named_too.group == group.group
    assert start.channel == end.channel == named.channel != named_too.channel
    assert (end.kind, end.text, end.time) == ("string", "", 3000)
    assert speed.text == "Speed\0decode\0tokens/s\0per call"
    assert speed.numbers == (0, CounterClass.ABSOLUTE, Display.MAXIMUM, 100, 1, 1, 0, 0, 0, 0, 0)
    assert (value.counter, value.core, value.value, value.time) == (speed.counter, 0, 1234, 4000)
    assert (per_core.core, per_core.value) == (3, -100)
    assert memory.numbers[1:4] == (CounterClass.DELTA, Display.ACCUMULATE, 1)
    assert bytes_.value == 4096
    assert memory.counter != speed.counter
    assert [(m.kind, m.text) for m in last] == [("channel", "alone"), ("string", "block"), ("string", "")]
    assert last[0].group == 0
    assert last[1].time <= last[2].time


def test_a_span_ends_also_where_its_block_raises(endpoints):
    with Daemon(endpoints) as daemon:
        with annotate.streamline(endpoints=endpoints) as s, pytest.raises(KeyError), s.channel("c").span("fails"):
            raise KeyError
        daemon.wait(lambda: daemon.closed_connections == 1)
        assert [m.text for m in daemon.streams[0].messages] == ["c", "fails", ""]


def test_each_thread_has_a_connection_in_its_own_order(endpoints):
    ids = {}

    def talk(name):
        ids[threading.get_native_id()] = name
        for number in range(1000):
            s.marker(f"{name} {number}")
        shared.start(name)
        barrier.wait()

    barrier = threading.Barrier(3)
    with Daemon(endpoints) as daemon:
        with annotate.streamline(endpoints=endpoints) as s:
            shared = s.channel("shared")
            threads = [threading.Thread(target=talk, args=(name,)) for name in "abc"]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert s.flush(10)
            assert s.dropped == 0
        daemon.wait(lambda: daemon.closed_connections == 3)
        streams = daemon.streams
    assert {stream.thread_id for stream in streams} == set(ids)
    for stream in streams:
        name = ids[stream.thread_id]
        assert stream.markers == [f"{name} {number}" for number in range(1000)]
        assert [m.kind for m in stream.messages[1000:]] == ["channel", "string"]
        times = [m.time for m in stream.messages]
        assert times == sorted(times)


@pytest.mark.parametrize("family", FAMILIES)
def test_threads_wait_for_a_daemon_that_is_slow_to_accept(family, endpoints):
    """gatord keeps few connections waiting; the others are refused and must come again."""
    if not has_family(family):
        pytest.skip(f"no {family} sockets here")
    where = endpoints if family == "unix" else tcp_endpoints(family)
    n_threads = 24
    all_said = threading.Barrier(n_threads + 1)
    all_heard = threading.Barrier(n_threads + 1)

    def talk(number):
        s.marker(f"thread {number}")
        all_said.wait()
        all_heard.wait()

    with Daemon(where, family, backlog=0) as daemon:
        with annotate.streamline(endpoints=where) as s:
            threads = [threading.Thread(target=talk, args=(number,)) for number in range(n_threads)]
            for thread in threads:
                thread.start()
            all_said.wait()
            daemon.wait(lambda: len(daemon.markers) == n_threads)
            all_heard.wait()
            for thread in threads:
                thread.join()
            assert s.dropped == 0
        assert sorted(daemon.markers) == sorted(f"thread {number}" for number in range(n_threads))


def test_a_thread_that_ends_hangs_up(endpoints):
    with Daemon(endpoints) as daemon, annotate.streamline(endpoints=endpoints) as s:
        thread = threading.Thread(target=lambda: s.marker("last words"))
        thread.start()
        thread.join()
        daemon.wait(lambda: daemon.closed_connections == 1)
        assert daemon.markers == ["last words"]
        s.marker("still here")
        assert s.flush(10)
        daemon.wait(lambda: daemon.markers == ["last words", "still here"])


def test_messages_go_out_on_their_own_after_a_while(endpoints):
    with Daemon(endpoints) as daemon, annotate.streamline(endpoints=endpoints) as s:
        s.marker("nobody flushes")
        daemon.wait(lambda: daemon.markers == ["nobody flushes"])


def test_three_quarters_full_wakes_the_sender(endpoints, monkeypatch):
    monkeypatch.setattr(sender, "_DRAIN_SECONDS", 3600.0)
    with Daemon(endpoints) as daemon, annotate.streamline(endpoints=endpoints) as s:
        size = len(annotate.encode.marker(annotate.monotonic_raw_ns(), "x" * 1000))
        for _ in range(48 * 1024 // size + 1):
            s.marker("x" * 1000)
        daemon.wait(lambda: len(daemon.markers) >= 45)


def test_a_burst_of_many_buffers_arrives_in_order(endpoints):
    with Daemon(endpoints) as daemon:
        with annotate.streamline(endpoints=endpoints) as s:
            for number in range(20_000):
                s.marker(f"number {number}")
            assert s.flush(10)
            dropped = s.dropped
        daemon.wait(lambda: daemon.closed_connections == 1)
        heard = [int(text.split()[1]) for text in daemon.markers]
    assert heard == sorted(set(heard))
    assert len(heard) == 20_000 - dropped
    assert len(heard) > 64 * 1024 / 20


def test_a_thread_faster_than_the_sender_sends_for_itself(endpoints, monkeypatch):
    monkeypatch.setattr(sender, "_DRAIN_SECONDS", 3600.0)
    monkeypatch.setattr(sender, "_WAKE_BYTES", 1 << 30)
    with Daemon(endpoints) as daemon, annotate.streamline(endpoints=endpoints) as s:
        for _ in range(100):
            s.marker("x" * 1000)
        assert s.dropped == 0
        daemon.wait(lambda: len(daemon.markers) >= 60)


def test_the_largest_message_passes_and_a_larger_one_is_dropped(endpoints, capsys):
    head = len(annotate.encode.marker(annotate.monotonic_raw_ns(), ""))
    with Daemon(endpoints) as daemon:
        with annotate.streamline(endpoints=endpoints) as s:
            s.marker("a" * (32 * 1024 - head))
            s.marker("b" * (32 * 1024 - head + 1))
            s.marker("c" * 100_000)
            s.marker("after")
            assert s.flush(10)
            assert s.dropped == 2
        daemon.wait(lambda: daemon.closed_connections == 1)
        assert daemon.markers == ["a" * (32 * 1024 - head), "after"]
    assert capsys.readouterr().err.startswith("annotate: 2 annotations dropped")


def test_a_batch_is_one_message_with_its_channels_before_it(endpoints):
    with Daemon(endpoints) as daemon:
        with annotate.streamline(endpoints=endpoints) as s:
            one, two = s.channel("one", group="g"), s.channel("two", group="g")
            messages = [encode.string(5, one.number, "a"), encode.string(6, two.number, "b"), encode.marker(7, "m")]
            s.batch(lambda: b"".join(messages), 100, [one, two])
            s.batch(lambda: encode.marker(8, "n"), 100)
            with pytest.raises(ValueError, match="batch: 32769 bytes"):
                s.batch(lambda: b"", 32769)
        daemon.wait(lambda: daemon.closed_connections == 1)
        (stream,) = daemon.streams
    assert [m.text for m in stream.messages] == ["g", "one", "two", "a", "b", "m", "n"]
    with annotate.streamline("off") as s:
        s.batch(lambda: pytest.fail("encoded although nobody listens"), 100)


def test_what_cannot_be_encoded_costs_itself_alone(endpoints, capsys):
    with Daemon(endpoints) as daemon:
        with annotate.streamline(endpoints=endpoints) as s:
            s.marker("color", "red")  # type: ignore[arg-type]
            s.marker("time", time_ns=1.5)  # type: ignore[arg-type]
            counter = s.counter("T", "N", scale=1000)
            counter.value(float("nan"))
            counter.value(float("inf"))
            counter.value(1e300)
            s.marker("fine")
            assert s.flush(10)
            assert s.dropped == 3
        daemon.wait(lambda: daemon.closed_connections == 1)
        assert [m.text for m in daemon.streams[0].messages] == ["fine"]
    assert "3 annotations dropped" in capsys.readouterr().err


def test_names_that_fit_no_message_are_refused_with_or_without_a_daemon(endpoints):
    with annotate.streamline(endpoints=endpoints) as s:
        with pytest.raises(ValueError, match=r"channel name: .*32768"):
            s.channel("x" * 40_000)
        with pytest.raises(ValueError, match=r"group name: .*32768"):
            s.channel("x", group="x" * 40_000)
        with pytest.raises(ValueError, match=r"counter definition: .*32768"):
            s.counter("x" * 40_000, "y")
        with pytest.raises(ValueError, match="T:N: scale 0"):
            s.counter("T", "N", scale=0)


def test_auto_says_nothing_where_no_daemon_is(counting, capsys, impatient):
    with annotate.streamline(endpoints=counting) as s:
        for _ in range(5):
            s.marker("unheard")
        wait(lambda: CountingEndpoints.looks >= 4)
        assert not s.connected
        assert not s.flush()
        assert s.dropped == 0
    assert capsys.readouterr() == ("", "")


def test_on_warns_once(counting, capsys, impatient):
    with annotate.streamline("on", counting):
        wait(lambda: CountingEndpoints.looks >= 4)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "annotate: no Streamline daemon (gatord) listens; trying again every second\n"


def test_off_never_looks(counting):
    threads = threading.active_count()
    with Daemon(counting) as daemon:
        with annotate.streamline("off", counting) as s:
            s.marker("unsaid")
            s.channel("c").start("unsaid")
            s.counter("T", "N").value(1)
            assert not s.flush()
            assert not s.connected
            assert threading.active_count() == threads + 1  # the daemon's
        assert daemon.streams == []
    assert CountingEndpoints.looks == 0


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="'maybe': must be one of auto, on, off"):
        annotate.streamline("maybe")  # type: ignore[arg-type]


def test_a_daemon_that_comes_late_is_found(endpoints):
    with annotate.streamline(endpoints=endpoints) as s:
        s.marker("too early")
        channel = s.channel("named early")
        with Daemon(endpoints) as daemon:
            wait(lambda: s.connected)
            channel.start("in time")
            assert s.flush(10)
            daemon.wait(lambda: bool(daemon.streams and len(daemon.streams[0].messages) == 2))
            assert [m.text for m in daemon.streams[0].messages] == ["named early", "in time"]


@pytest.mark.parametrize("family", ["unix", "tcp4"])
def test_definitions_are_sent_again_to_a_daemon_that_comes_back(family, endpoints, impatient):
    where = endpoints if family == "unix" else tcp_endpoints(family)
    with annotate.streamline(endpoints=where) as s:
        channel, counter = s.channel("ops", group="all"), s.counter("T", "N")
        kinds = ["group", "channel", "string", "counter", "value"]
        for life in range(3):
            with Daemon(where, family) as daemon:
                wait(lambda: s.connected)
                channel.start(f"life {life}")
                counter.value(life)
                assert s.flush(10)
                daemon.wait(lambda: bool(daemon.streams) and [m.kind for m in daemon.streams[0].messages] == kinds)
            wait(lambda: not s.connected)
            s.marker("unheard")
            assert not s.flush()


@pytest.mark.parametrize("family", ["unix", "tcp4"])
def test_the_next_capture_hears_the_first_message_after_the_last(family, endpoints):
    where = endpoints if family == "unix" else tcp_endpoints(family)
    with Daemon(where, family) as daemon, annotate.streamline(endpoints=where) as s:
        channel = s.channel("ops")
        said = []
        for capture in range(3):
            channel.start(f"capture {capture}")
            assert s.flush(10)
            said.append(["ops", f"capture {capture}"])
            daemon.wait(lambda: [[m.text for m in stream.messages] for stream in daemon.streams] == said)
            daemon.end_capture()


def test_between_two_captures_nothing_waits_and_the_signal_wakes(endpoints, monkeypatch):
    with Daemon(endpoints, capturing=False) as daemon, annotate.streamline(endpoints=endpoints) as s:
        # The first refused connection waits for a signal alone.
        monkeypatch.setattr(sender, "_RETRY_SECONDS", 3600.0)
        s.marker("before the capture")
        assert not s.flush(10)
        assert s.connected
        s.marker("unheard")
        daemon.capture()
        daemon.signal()
        wait(lambda: s.flush(10))
        s.marker("in the capture")
        assert s.flush(10)
        daemon.wait(lambda: daemon.markers == ["in the capture"])


def test_a_daemon_that_does_not_read_costs_messages_but_no_time(endpoints, capsys):
    numbers = 40_000
    with Daemon(endpoints, reading=False) as daemon:
        with annotate.streamline(endpoints=endpoints) as s:
            for number in range(numbers):
                s.marker(f"number {number:06}")
            assert not s.flush(0.2)
            dropped = s.dropped
            assert 0 < dropped < numbers
        daemon.read()
        daemon.wait(lambda: daemon.closed_connections == 1)
        heard = [int(text.split()[1]) for text in daemon.markers]
    # Nothing torn, nothing twice, and the first messages are those that found room.
    assert heard == sorted(set(heard))
    assert heard[:1000] == list(range(1000))
    assert len(heard) <= numbers - dropped
    assert f"annotate: {dropped} annotations dropped" in capsys.readouterr().err


def test_after_close_calls_say_nothing(endpoints):
    with Daemon(endpoints) as daemon:
        s = annotate.streamline(endpoints=endpoints)
        channel = s.channel("c")
        s.marker("said")
        s.close()
        s.close()
        s.marker("unsaid")
        channel.start("unsaid")
        assert not s.flush()
        daemon.wait(lambda: daemon.closed_connections == 1)
        assert daemon.markers == ["said"]


def test_close_while_other_threads_talk(endpoints):
    stop = threading.Event()

    def talk():
        while not stop.is_set():
            s.marker("chatter")

    with Daemon(endpoints) as daemon:
        s = annotate.streamline(endpoints=endpoints)
        threads = [threading.Thread(target=talk) for _ in range(3)]
        for thread in threads:
            thread.start()
        daemon.wait(lambda: len(daemon.streams) == 3)
        closers = [threading.Thread(target=s.close) for _ in range(2)]
        for closer in closers:
            closer.start()
        for closer in closers:
            closer.join()
        stop.set()
        for thread in threads:
            thread.join()
        daemon.wait(lambda: daemon.closed_connections == 3)
        assert {text for stream in daemon.streams for text in stream.markers} == {"chatter"}
    assert "annotate" not in [thread.name for thread in threading.enumerate()]


def test_two_clients_of_a_process_share_no_counter_number(endpoints):
    with Daemon(endpoints) as daemon:
        with annotate.streamline(endpoints=endpoints) as one, annotate.streamline(endpoints=endpoints) as two:
            one.counter("T", "N").value(1)
            two.counter("T", "N").value(2)
        daemon.wait(lambda: daemon.closed_connections == 2)
        numbers = [stream.messages[0].counter for stream in daemon.streams]
    assert numbers[0] != numbers[1]


def test_an_outbox_can_be_left_in_the_middle_of_a_send():
    """As in a forked child, whose copy of the sender thread never comes back from the kernel."""
    box = outbox.Outbox(threading.current_thread())
    box._outgoing += b"half a message"
    with memoryview(box._outgoing):
        box.disconnect()
    assert not box._outgoing
