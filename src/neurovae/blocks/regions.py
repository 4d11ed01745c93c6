"""Parcels of a functional block: names, networks and places, where the user gives a table of them."""

import numpy as np
import pandas as pd

from neurovae.errors import InputError
from neurovae.io.tables import first, number, read, some

PLACES = {"x": "x_mm", "y": "y_mm", "z": "z_mm"}


def parcels_table(names: list[str], still: np.ndarray, kept: np.ndarray, path: str | None) -> pd.DataFrame:
    """A row per parcel of the files: parcel, name, network, x_mm, y_mm, z_mm, kept, n_constant (runs).

    Raises:
        InputError: the table of regions lacks a parcel, or a place is no number.
    """
    table = pd.DataFrame({"parcel": names, "name": names})
    table["network"] = pd.Series([None] * len(names), dtype=object)
    table = table.assign(**dict.fromkeys(PLACES.values(), np.nan), kept=kept, n_constant=still.sum(axis=0))
    if not path:
        return table
    given, problems = read(path, file=path.rsplit("/", 1)[-1], rename={})
    problems += [f"{given.file}, row 1: no column '{name}'; there are {', '.join(given.columns)}"
                 for name in ("column", "name") if given.columns and name not in given.columns]  # fmt: skip
    if problems:
        raise InputError(problems)
    by_parcel = {row.cells["column"]: row for row in given.rows}
    lacking = [name for name, is_used in zip(names, kept, strict=True) if is_used and name not in by_parcel]
    if lacking:
        raise InputError(f"{given.file}: no row for {len(lacking)} parcels of the files ({some(lacking)}); add them")
    for k, parcel in enumerate(names):
        if parcel in by_parcel:
            cells = by_parcel[parcel].cells
            table.loc[k, "name"] = cells["name"] or parcel
            table.loc[k, "network"] = cells.get("network")
            for axis, column in PLACES.items():
                text = cells.get(axis)
                value = number(text) if text else np.nan
                if value is None:
                    problems.append(f"{by_parcel[parcel].where}: {axis} is {text!r}; give mm as a number, or n/a")
                table.loc[k, column] = np.nan if value is None else value
    if problems:
        raise InputError(first(problems))
    return table
