"""The one exception that analysis shows to its user."""


class AnalysisError(Exception):
    """Input that cannot be analysed. The message is the one line the user sees: file, place, found, expected."""
