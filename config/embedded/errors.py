class EmbeddedError(Exception):
    """An embedded server cannot be used; the text says what happened and what to do."""
