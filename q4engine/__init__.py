"""q4engine: an LLM engine for Arm CPUs that explains its own speed."""

__version__ = "0.1.0"
