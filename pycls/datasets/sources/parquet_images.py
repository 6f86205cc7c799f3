"""The encoded images in a Parquet file: a column of bytes, read a row group at a time.

Parquet compresses pages of many values, so that a single image cannot be read alone. The row
group read last is kept; whoever reads many images takes them group by group.
"""

import itertools
from pathlib import Path
from types import ModuleType
from typing import Any

from pycls.errors import ConfigError, DataError


def import_parquet() -> ModuleType:
    """Return the module pyarrow.parquet, imported.

    Raises:
        ConfigError: pyarrow is not installed.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError(
            f"Parquet files need the package pyarrow ({error}); install it with "
            "'python -m pip install pyarrow'"
        ) from None
    return pyarrow.parquet  # type: ignore[no-any-return]


class ParquetImages:
    """The images of one Parquet file.

    Args:
        path: the file.
        column: the column of the images' bytes, "image.bytes" for a field of a structure.
        rows: number of rows in each row group.

    Attributes:
        groups: of each row group, the number of its first row and of its rows.
    """

    def __init__(self, path: Path, column: str, rows: list[int]):
        self.path = path
        self._column = column
        firsts = itertools.accumulate(rows, initial=0)
        self.groups = list(zip(firsts, rows, strict=False))
        self._last: tuple[int, list[Any]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}

    def read(self, group: int, row: int, where: str) -> bytes:
        """Return the bytes of an image.

        Raises:
            DataError: the file is damaged, or has no image there.
            OSError: it cannot be read.
        """
        if self._last is None or self._last[0] != group:
            self._last = None  # not two groups in memory
            self._last = (group, self._read_group(group, where))
        data = self._last[1][row].as_py()
        if data is None:
            raise DataError(f"{where}: there is no image in this row")
        return bytes(data)

    def _read_group(self, group: int, where: str) -> Any:
        parquet = import_parquet()
        import pyarrow.compute

        try:
            # Rows of equal bytes share them, as they do in the file.
            with parquet.ParquetFile(self.path, read_dictionary=[self._column]) as file:
                column = file.read_row_group(group, columns=[self._column]).column(0)
        except (pyarrow.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise DataError(f"{where}: damaged or cut short ({error}); download it again") from None
        for field in self._column.split(".")[1:]:
            column = pyarrow.compute.struct_field(column, field)
        return column
