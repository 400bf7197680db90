"""Annotations for Arm Streamline, traces for Perfetto, and markers in a file. Needs the standard library alone.

import annotate

with annotate.streamline() as s:
    s.marker("past 0, n_eval 512", annotate.BLUE)
    loads = s.channel("loads", group="disk")
    with loads.span("weights"):
        ...
"""

from annotate.client import Channel, Counter, Mode, Streamline, monotonic_raw_ns, streamline
from annotate.connection import Endpoints
from annotate.encode import Color, CounterClass, Display, Render, Series
from annotate.marker_file import MarkerFile
from annotate.perfetto import SliceKind, TraceWriter

BLUE = Color(0x1F, 0x77, 0xB4)
ORANGE = Color(0xFF, 0x7F, 0x0E)
GREEN = Color(0x2C, 0xA0, 0x2C)
RED = Color(0xD6, 0x27, 0x28)
PURPLE = Color(0x94, 0x67, 0xBD)
GRAY = Color(0x7F, 0x7F, 0x7F)

__all__ = [
    "BLUE",
    "GRAY",
    "GREEN",
    "ORANGE",
    "PURPLE",
    "RED",
    "Channel",
    "Color",
    "Counter",
    "CounterClass",
    "Display",
    "Endpoints",
    "MarkerFile",
    "Mode",
    "Render",
    "Series",
    "SliceKind",
    "Streamline",
    "TraceWriter",
    "monotonic_raw_ns",
    "streamline",
]
