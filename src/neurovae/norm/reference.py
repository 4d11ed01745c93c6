"""Who is the reference, as the rule `reference` has written it."""

from pathlib import Path

import pandas as pd

from neurovae.errors import InputError
from neurovae.io.volumes import given


def people(path: Path) -> set[str] | None:
    """Return the people of the reference; None where no group was chosen, and everybody is. path: reference.tsv."""
    if not given(path):
        return None
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    return set(table.loc[table["reference"] == "yes", "person"])


def refuse_trained(table: pd.DataFrame, reference: set[str], path: Path) -> None:
    """Raise InputError where a model was trained or stopped on people outside the reference.

    table: joined table with person and latents_split. path: of the latents, for the message.

    Raises:
        InputError: naming some of these people.
    """
    seen = table[~table["person"].isin(list(reference)) & (table["latents_split"] != "test")]
    if len(seen):
        names = ", ".join(sorted(set(seen["person"]))[:5])
        raise InputError(
            f"{path}: the model was trained on {seen['person'].nunique()} people outside the reference ({names}); a "
            "norm needs models of the reference alone: rerun with --forcerun train, without cohort.freeze"
        )
