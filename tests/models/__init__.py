"""Writers of models for tests and benchmarks: tiny random ones, one of Qwen1.5-0.5B's shape, llama2.c imports.

Everything random here comes from a seeded integer generator and exact arithmetic, so that a seed gives the same file
on every machine. The files are synthetic and say so in ``general.name``.
"""
