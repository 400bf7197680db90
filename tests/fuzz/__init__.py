"""Hostile input, made at random from a seed: ``python -m fuzz [TARGET …]`` (``make fuzz``)."""
