"""Reads captures of performance counters and says what bounds each phase, from counts alone."""
