"""metrics.csv of a run folder: a header, and one row per finished epoch."""

from mas import files

NAME = "metrics.csv"


def read(path):
    """(header, rows) as text; ([], []) if the file is missing or empty.

    Raises:
        ValueError: If the file is damaged; the message names it and says what to do.
    """
    if not path.is_file():
        return [], []
    try:
        header, *rows = files.read_csv(path) or [[]]
        for row in rows:
            if len(row) != len(header):
                raise ValueError(f"{len(row)} values for {len(header)} names in {str(row)[:60]}")
            for value in row:
                float(value)
    except ValueError as error:
        words = str(error).removeprefix(f"{path} ").rstrip(".")
        raise ValueError(
            f"{path} must contain a number for each name. Received: {words}. "
            "Move it away to resume without its rows, or restart."
        ) from None
    return header, rows


class Metrics:
    """The rows of a training; each change rewrites the file.

    Args:
        path: the file.
    """

    def __init__(self, path):
        """See the class."""
        self._path, self._header, self._rows = path, [], []

    def keep(self, epoch):
        """Keeps the rows up to an epoch, when a run is resumed.

        Raises:
            ValueError: As `read`.
        """
        self._header, rows = read(self._path)
        self._rows = [row for row in rows if int(float(row[0])) <= epoch]
        if self._header:
            files.write_csv(self._path, self._header, self._rows)

    def add(self, row, beside=None):
        """Adds an epoch.

        Args:
            row: {name: number}.
            beside: name of another file in the folder, to check that the folder still exists.

        Raises:
            RuntimeError: If the folder was moved or deleted.
        """
        folder = self._path.parent
        if beside and not (folder / beside).is_file():
            raise RuntimeError(
                f"{folder} must not be moved or deleted during training. Received: no {beside}."
            )
        self._header = self._header or list(row)
        texts = [f"{value:.8g}" if isinstance(value, float) else value for value in row.values()]
        self._rows.append(texts)
        files.write_csv(self._path, self._header, self._rows)
