"""metrics.csv of a run folder: a header, and one row for each epoch that was finished."""

from mas import files

NAME = "metrics.csv"


def read(path):
    """(header, rows) as text; ([], []) where there is no file, or an empty one.

    Raises:
        ValueError: the file is damaged; names it and the way out.
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
            f"{path} must hold a number for each name. Received: {words}. "
            "Move it away, to resume without its rows, or restart."
        ) from None
    return header, rows


class Metrics:
    """The rows of a training, written whole each time.

    Args:
        path: the file.
    """

    def __init__(self, path):
        """See the class."""
        self._path, self._header, self._rows = path, [], []

    def keep(self, epoch):
        """Keeps the rows of the first epochs, which a run that is resumed has behind it.

        Raises:
            ValueError: as `read`.
        """
        self._header, rows = read(self._path)
        self._rows = [row for row in rows if int(float(row[0])) <= epoch]
        if self._header:
            files.write_csv(self._path, self._header, self._rows)

    def add(self, row, beside=None):
        """Adds an epoch.

        Args:
            row: {name: number}.
            beside: name of a file that stays beside this one as long as the run folder does.

        Raises:
            RuntimeError: the folder was moved or deleted meanwhile.
        """
        folder = self._path.parent
        if beside and not (folder / beside).is_file():
            raise RuntimeError(
                f"{folder} must stay where it is while it is trained in. Received: no {beside}."
            )
        self._header = self._header or list(row)
        texts = [f"{value:.8g}" if isinstance(value, float) else value for value in row.values()]
        self._rows.append(texts)
        files.write_csv(self._path, self._header, self._rows)
