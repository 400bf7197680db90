"""Benchmarks: tests named as llama-bench names them, each beside the limits of the machine that it ran on."""
