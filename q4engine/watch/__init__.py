"""Unmodified programs that use llama.cpp's shared libraries, watched from within (docs/watch.md)."""
