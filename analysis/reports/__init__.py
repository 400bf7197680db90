"""Reports: the same verdicts as text, as data, as pictures and as one HTML page."""
