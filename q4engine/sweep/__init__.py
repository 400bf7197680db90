"""Experiments: a plan of many runs, made in an honest order, each kept as soon as it is done."""
