"""Names of labels."""


def class_name(label, names=None):
    """What a label is called: its name, its number without names, or "unlabelled" for -1."""
    if label < 0:
        return "unlabelled"
    return str(label) if names is None else names[label]
