"""CSV files of NAS-Bench-201: NASGraph's public files and a simple layout."""

import csv
import io

import numpy as np

from nasjax.data.nb201.cells import TableError, format_arch, official_ops, parse_arch
from nasjax.data.nb201.table import MEANING

# Which accuracy of the public CSV files is which column, by a part of the file's name.
# "cifar100" comes before "cifar10", which is a part of it. The test accuracy of the
# cifar10 file belongs to the training on half of the images: it is no column.
_PUBLIC = {
    "cifar100": {
        "cifar100_valid": "validation accuracy",
        "cifar100_test": "test accuracy",
    },
    "cifar10": {"cifar10_valid": "validation accuracy"},
    "imagenet16": {
        "imagenet16_valid": "validation accuracy",
        "imagenet16_test": "test accuracy",
    },
}


def parse(data: bytes, name: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Reads architectures and columns from a CSV file.

    A public file has `file id` (the official index), `arch str`, `validation accuracy`
    and `test accuracy`, and the data set in its name. A simple file has `arch` (the
    benchmark's string or six digits) and columns with the names of `COLUMNS`.

    Args:
      data: the bytes of the file.
      name: the file's name, also for errors.

    Returns:
      [A, 6] operations, and a float32 [A] array of percent per column.

    Raises:
      TableError: if the layout or a line is wrong.
    """
    try:
        header, *lines = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    except (UnicodeDecodeError, ValueError, csv.Error) as error:
        raise TableError(f"{name}: not a CSV file with a header ({error})") from error
    header = [title.strip() for title in header]
    public = "arch str" in header
    if public:
        titles = next((v for k, v in _PUBLIC.items() if k in name.lower()), None)
        if titles is None:
            raise TableError(
                f"{name}: the name must say the data set: {', '.join(_PUBLIC)}"
            )
    else:
        titles = {title: title for title in header if title != "arch"}
    arch = "arch str" if public else "arch"
    required = {arch, *titles.values(), *(["file id"] if public else [])}
    unknown = set(titles) - set(MEANING)
    if not titles or unknown or not required <= set(header):
        raise TableError(
            f"{name}: the header is {header}; allowed: 'file id' and 'arch str' with "
            f"'validation accuracy' and 'test accuracy', or 'arch' with any of "
            f"{', '.join(MEANING)}"
        )
    ops, values = [], []
    for number, line in enumerate(lines, start=2):
        try:
            row = dict(zip(header, line, strict=True))
            ops.append(parse_arch(row[arch]))
            values.append([float(row[title]) for title in titles.values()])
            if public and tuple(official_ops()[int(row["file id"])]) != ops[-1]:
                expected = format_arch(official_ops()[int(row["file id"])])
                raise TableError(f"file id {row['file id']} is {expected} officially")
        except (ValueError, IndexError) as error:
            raise TableError(f"{name}: line {number}: {error}") from error
    table = np.array(values, np.float32).reshape(len(ops), len(titles))
    return (
        np.array(ops, np.uint8).reshape(-1, 6),
        {title: table[:, i] for i, title in enumerate(titles)},
    )
