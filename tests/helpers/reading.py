"""What `metaan.read` told of a table."""


def codes(trials):
    """Codes of the notes, in their order."""
    return [note["code"] for note in trials.attrs["read"]["notes"]]


def code_set(trials):
    """Codes of the notes, each once."""
    return set(codes(trials))
