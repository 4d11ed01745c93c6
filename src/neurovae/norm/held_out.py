"""Who is held out of which model, and in which group the norm is cross-fitted: a norm is never of its own people."""

from typing import NamedTuple

import numpy as np
import pandas as pd

PARTS = 5  # of the reference, where one model holds out its only fold


class HeldOut(NamedTuple):
    """The first scan of each person with age and sex whom some model has not seen."""

    table: pd.DataFrame  # columns of the joined table, with `reference`, `age_of`, `sex_of`
    fold: np.ndarray  # (people,) fold of the model that reconstructs the person
    group: np.ndarray  # (people,) cross-fitting group; the norm is of reference people of other groups

    @property
    def reference(self) -> np.ndarray:
        """Whether each is of the reference."""
        return self.table["reference"].to_numpy(bool)


def held_out(tables: dict[int, pd.DataFrame], reference: set[str], age: str, sex: str | None) -> HeldOut:
    """Choose one model per person: that of the person's own fold, if there is one, else the first.

    With several models, a group is a fold. With one, its reference people are divided into PARTS by their order.

    Args:
        tables: first scans with latents of each fold's model, by fold, all in the same order.
        reference: its people.
        age, sex: columns; sex None: norms depend on age alone.
    """
    folds = sorted(tables)
    first = tables[folds[0]]
    own_fold = first["fold"].to_numpy(int)
    fold = np.where(np.isin(own_fold, folds), own_fold, folds[0])
    split = np.select([fold == k for k in folds], [tables[k]["latents_split"].astype(str) for k in folds], "")
    sexes = first[sex].astype(object) if sex else pd.Series("all", index=first.index)
    table = first.assign(
        reference=first["person"].isin(list(reference)), age_of=pd.to_numeric(first[age]), sex_of=sexes.astype(str)
    )
    kept = (split == "test") & np.isfinite(table["age_of"].to_numpy(float)) & sexes.notna().to_numpy()
    table, fold = table[kept].reset_index(drop=True), fold[kept]
    own = table["reference"].to_numpy(bool)
    if len(folds) > 1:
        return HeldOut(table, fold, fold)
    group = np.full(len(table), -1)
    group[own] = np.arange(own.sum()) % PARTS
    return HeldOut(table, fold, group)
