"""Names of the labels; does not import Numba and OpenCV, which are slow to import."""

from mas.statistics import regions

COMPONENTS = ("u", "v")
COLOURS = ("octants", "mode")
DIRECTIONS = 8  # bins of 45 degrees
OCTANTS = 8  # octants of the RGB cube


def motion_names(patterns=(1, 2, 3), global_labels=True):
    """Returns the names of the labels of `motion`: "p1_u_location", ..., "v_frame"."""
    local = [
        f"p{pattern}_{component}_{statistic}"
        for pattern in regions.check_patterns(patterns)
        for component in COMPONENTS
        for statistic in ("location", "direction")
    ]
    return (*local, *(f"{component}_frame" for component in COMPONENTS if global_labels))


def appearance_names(patterns=(1, 2, 3), global_labels=True):
    """Returns the names of the labels of `appearance`: "p1_diverse_location", ..., "colour"."""
    local = [
        f"p{pattern}_{extreme}_{statistic}"
        for pattern in regions.check_patterns(patterns)
        for extreme in ("diverse", "consistent")
        for statistic in ("location", "colour")
    ]
    return (*local, *(("colour",) if global_labels else ()))


def largest(names, fields):
    """Returns the largest value of each label.

    >>> largest(("p1_u_location", "p1_u_direction", "u_frame", "colour"), fields=15)
    (16, 8, 15, 8)

    Args:
        names: names from `motion_names` or `appearance_names`.
        fields: number of flow fields in which to look for the frame of largest motion.
    """
    most = {"direction": DIRECTIONS, "colour": OCTANTS, "frame": fields}
    return tuple(
        regions.REGIONS[int(name[1])] if name.endswith("location") else most[name.split("_")[-1]]
        for name in names
    )
