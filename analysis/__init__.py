"""Reads performance captures and says what bounds each phase of them.

The package stands alone: it reads files and needs neither the engine nor an Arm machine. Importing it costs nothing;
pandas is loaded by the modules that need it.
"""
