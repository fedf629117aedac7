"""Text of any origin, made fit for a list, a header or a terminal."""

_MOST_CHARACTERS = 64
"""As many as DICOM allows in a long string."""


def short_line(words: str) -> str:
    r"""Return words as one line of at most 64 printable characters, empty if none is printable.

    >>> short_line(" left\n kidney "), short_line("é" * 100) == "é" * 64
    ('left kidney', True)
    """
    printable = "".join(sign if sign.isprintable() else " " for sign in words)
    return " ".join(printable.split())[:_MOST_CHARACTERS].rstrip()
