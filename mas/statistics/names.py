"""What the labels are called; without Numba and OpenCV, which take long to import."""

from mas.statistics import regions

COMPONENTS = ("u", "v")
COLOURS = ("octants", "mode")


def motion_names(patterns=(1, 2, 3), global_labels=True):
    """Names of the labels of `motion`, in order: "p1_u_location", ..., "v_frame"."""
    local = [
        f"p{pattern}_{component}_{statistic}"
        for pattern in regions.check_patterns(patterns)
        for component in COMPONENTS
        for statistic in ("location", "direction")
    ]
    return (*local, *(f"{component}_frame" for component in COMPONENTS if global_labels))


def appearance_names(patterns=(1, 2, 3), global_labels=True):
    """Names of the labels of `appearance`, in order: "p1_diverse_location", ..., "colour"."""
    local = [
        f"p{pattern}_{extreme}_{statistic}"
        for pattern in regions.check_patterns(patterns)
        for extreme in ("diverse", "consistent")
        for statistic in ("location", "colour")
    ]
    return (*local, *(("colour",) if global_labels else ()))
