"""The client against Arm's own daemon, where `Q4_GATORD` names its program."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from annotate_decode import decode_capture

CODE = """
import annotate, threading
with annotate.streamline("on") as s:
    for number in range(20):
        s.marker(f"past {number}, n_eval 1", annotate.ORANGE)
    thread = threading.Thread(target=lambda: s.channel("ops", group="all").start("from a thread"))
    thread.start()
    thread.join()
    s.counter("Speed", "decode", units="tokens/s", scale=10).value(12.5)
    assert s.flush(10)
"""


def test_every_annotation_is_in_the_capture(tmp_path):
    gatord = os.environ.get("Q4_GATORD")
    if not gatord:
        pytest.skip("Q4_GATORD is not set: no gatord to test against")
    capture = tmp_path / "run.apc"
    repository = Path(__file__).parents[2]
    subprocess.run(
        [gatord, "-o", capture, "-S", "no", "--app", sys.executable, "-c", CODE],
        env={**os.environ, "PYTHONPATH": str(repository)},
        cwd=tmp_path,
        check=True,
        timeout=120,
    )
    streams = decode_capture((capture / "0000000000").read_bytes()).streams
    main, thread = sorted(streams, key=lambda stream: len(stream.messages), reverse=True)
    assert main.markers == [f"past {number}, n_eval 1" for number in range(20)]
    assert [message.kind for message in main.messages[20:]] == ["counter", "value"]
    assert [message.text for message in thread.messages] == ["all", "ops", "from a thread"]
