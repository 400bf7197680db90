"""Architectures: hyper-parameters and, one file each, the graph as a list of operations."""
