"""The wire encoding of annotations, against bytes spelled out by hand and against the tests' own decoder."""

import random
import struct

import pytest
from annotate_decode import Reader, decode_capture, decode_message, decode_stream

from annotate import BLUE, Color, CounterClass, Display, Endpoints, Render, Series, encode
from annotate.connection import Transport
from annotate.encode import CounterLook

TIME = 1386514195022  # cec4be95ad28


def test_marker_is_the_known_example():
    assert encode.marker(TIME, "past 0, n_eval 78") == bytes.fromhex("0617000000cec4be95ad28") + b"past 0, n_eval 78"


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (0, "00"),
        (63, "3f"),
        (64, "c000"),
        (-1, "7f"),
        (-64, "40"),
        (-65, "bf7f"),
        (127, "ff00"),
        (128, "8001"),
        (TIME, "cec4be95ad28"),
        ((1 << 31) - 1, "ffffffff07"),
        (-(1 << 31), "8080808078"),
        ((1 << 63) - 1, "ffffffffffffffffff00"),
        (-(1 << 63), "8080808080808080807f"),
    ],
)
def test_sleb128(value, wire):
    assert encode.sleb128(value).hex() == wire


def test_sleb128_is_what_the_decoder_reads():
    draw = random.Random(4)
    for bits in range(64):
        for value in (draw.getrandbits(bits), -draw.getrandbits(bits)):
            reader = Reader(encode.sleb128(value))
            assert reader.number() == value
            assert reader.at == len(reader.data) <= 10


def test_handshake_is_twenty_bytes():
    wire = encode.handshake(0x01020304, 0x0A0B0C0D)
    assert wire == b"ANNOTATE 5\n\x04\x03\x02\x01\x0d\x0c\x0b\x0a\x00"
    assert len(wire) == 20


def test_every_message_byte_for_byte():
    red = Color(255, 0, 16)
    assert encode.marker(1, "m", red) == b"\x07\x06\0\0\0" + b"\x01\xff\x00\x10\x1bm"
    assert encode.string(1, 2, "s") == b"\x01\x03\0\0\0" + b"\x01\x02s"
    assert encode.string(1, 2, "") == b"\x01\x02\0\0\0" + b"\x01\x02"
    assert encode.string(1, 2, "s", red) == b"\x02\x07\0\0\0" + b"\x01\x02\xff\x00\x10\x1bs"
    assert encode.channel_name(1, 2, 3, "c") == b"\x03\x04\0\0\0" + b"\x01\x02\x03c"
    assert encode.group_name(1, 3, "g") == b"\x04\x03\0\0\0" + b"\x01\x03g"
    assert encode.counter_value(1, 2, 3, -2) == b"\x09\x04\0\0\0" + b"\x01\x02\x03\x7e"
    look = CounterLook(
        title="T",
        name="N",
        units="U",
        description="D",
        counter_class=CounterClass.INCIDENT,
        display=Display.HERTZ,
        series=Series.LOG10,
        render=Render.BAR,
        color=red,
        scale=10,
        per_cpu=True,
        average_selection=False,
        average_cores=True,
        percentage=False,
    )
    # id, per_cpu, class, display, modifier, series, render, average_selection, average_cores, percentage, 0, 0
    numbers = b"\x09\x01\x04\x03\x0a\x03\x03\x00\x01\x00\x00\x00"
    assert encode.counter(9, look) == b"\x08\x17\0\0\0" + numbers + b"\xff\x00\x10\x1b" + b"T\0N\0U\0D"


@pytest.mark.parametrize("text", ["", "ascii", "schön, 模型, 🙂", "a\0b", "\ud800 alone", "x" * 40000])
def test_text_and_the_bound_on_its_size(text):
    for color in (None, BLUE):
        for wire in (encode.marker(1 << 62, text, color), encode.string(1 << 62, 1 << 31, text, color)):
            kind, size = struct.unpack_from("<BI", wire)
            assert size == len(wire) - 5
            assert len(wire) <= encode.size_bound(text)
            assert decode_message(kind, wire[5:]).text == text.replace("\0", "?").replace("\ud800", "?")
    assert len(encode.counter_value(-(1 << 63), -(1 << 31), -(1 << 31), -(1 << 63))) <= encode.size_bound()


@pytest.mark.parametrize("parts", [(256, 0, 0), (0, -1, 0)])
def test_a_color_outside_the_range_is_refused(parts):
    with pytest.raises(ValueError, match=r"colour .*0 to 255"):
        Color(*parts)


def test_a_counter_value_must_fit_64_bits():
    with pytest.raises(OverflowError, match="64-bit"):
        encode.counter_value(1, 0, 1, 1 << 63)


def test_the_default_addresses_are_gatords():
    transports = list(Endpoints().transports())
    unix, tcp4, tcp6 = transports
    assert (unix.parent, unix.data) == ("\0streamline-annotate-parent", "\0streamline-annotate")
    assert (len(unix.parent), len(unix.data)) == (27, 20)
    assert (tcp4.parent, tcp4.data) == (("127.0.0.1", 8082), ("127.0.0.1", 8083))
    assert (tcp6.parent, tcp6.data) == (("::1", 8082), ("::1", 8083))
    assert all(isinstance(transport, Transport) for transport in transports)


def test_a_stream_that_is_cut_off_keeps_its_rest():
    wire = encode.handshake(1, 2) + encode.marker(3, "whole") + encode.marker(4, "cut")
    stream = decode_stream(wire[:-1])
    assert stream.markers == ["whole"]
    assert stream.rest == encode.marker(4, "cut")[:-1]


def test_a_real_capture_is_decoded_and_encoded_again(shared_data):
    path = shared_data / "annotate" / "apc_annot_frames.bin"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    data = path.read_bytes()
    capture = decode_capture(data)
    (stream,) = capture.streams
    assert (stream.thread_id, stream.process_id, stream.rest) == (26069, 26069, b"")
    assert stream.markers == [
        "past 0, n_eval 78",
        *(f"past {past}, n_eval 1" for past in range(78, 83)),
        "done-red",
    ]
    assert [message.color for message in stream.messages] == [None] * 6 + [(255, 0, 0)]
    times = [message.time for message in stream.messages]
    assert capture.monotonic_raw is not None
    assert times == sorted(times)
    assert times[0] > capture.monotonic_raw
    for message in stream.messages:
        color = Color(*message.color) if message.color else None
        assert encode.marker(message.time, message.text, color) in join_frames(data)


def join_frames(data):
    """The client's bytes of all EXTERNAL frames in one piece, since a message may span frames."""
    joined, at = b"", 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        frame = data[at + 4 : at + 4 + size]
        if frame[0] == 10 and frame[1] != 0x7F:
            joined += frame[2:]
        at += 4 + size
    return joined
