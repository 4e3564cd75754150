"""The width of a network: one factor on all its channels."""


def scaled(channels, width):
    """`channels` times `width`, rounded, at least 1.

    Raises:
        ValueError: `width` is not a finite number above 0.
    """
    if not 0 < width < float("inf"):
        raise ValueError(f"width must be a number above 0. Received: width={width}.")
    return max(1, round(channels * width))
