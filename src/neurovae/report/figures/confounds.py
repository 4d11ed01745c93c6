"""Variance of each latent and score that nuisance variables explain, as a heat map."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from neurovae.audit.nuisances import WORDS
from neurovae.io.parquet import read_parquet
from neurovae.report.figures.drawing import ORANGE, save, sentence
from neurovae.report.results import titled

HIGHEST = 0.5  # R2 at which the colour ends
REGIONS = 12  # regional volumes shown, those that the latents encode most
MOST = 40  # latents shown, flagged ones first, then those that nuisances explain most; all others are in the table


def draw(*, audit: Path, name: str, out: Path) -> None:
    """Draw the variance that nuisances explain, for one model.

    Args:
        audit: confounds.parquet of the model.
        name: the model, for the title.
        out: PNG to write.
    """
    table = read_parquet(audit)
    if table["kind"].isna().all():
        save(sentence(f"{name}: {table['verdict'].iloc[0]}, not analysed\n{table['reason'].iloc[0]}"), out)
        return
    kinds = [kind for kind in ("latent", "score") if (table["kind"] == kind).any()]
    parts = [_most(table[table["kind"] == kind].assign(of=table[kind])) for kind in kinds]
    total = table.loc[table["kind"] == "latent", "latent"].nunique()
    some = (
        f"\n{MOST} of {total} latents: those that are flagged, and those that one variable explains most"
        if total > MOST
        else ""
    )
    columns = _columns(table)
    heights = [part["of"].nunique() for part in parts]
    figure, axes = plt.subplots(
        len(parts),
        1,
        figsize=(2.2 + 0.5 * len(columns), 2.2 + 0.16 * sum(heights)),
        gridspec_kw={"height_ratios": heights},
        constrained_layout=True,
        squeeze=False,
        sharex=True,
    )
    for axis, part, kind in zip(axes[:, 0], parts, kinds, strict=True):
        image = _heat(axis, part, columns, kind)
    figure.colorbar(image, ax=axes, label="variance explained (adjusted R²)", extend="max", shrink=0.6, aspect=30)
    figure.suptitle(
        f"{titled(name, table['verdict'].iloc[0])}: variance explained by nuisance variables\n"
        "orange outline: flagged by the variance explained beyond the declared confounds (see the table)\n"
        "colour: variance explained without adjustment; *: declared as a confound; grey: not tested"
        f"{some}",
        fontsize=10,
    )
    save(figure, out)


def _most(part: pd.DataFrame) -> pd.DataFrame:
    """The rows of the latents or scores that are flagged, or of which some nuisance explains most, in their order."""
    flagged = part["flagged"].astype("boolean").fillna(False).astype(float)
    largest = (flagged + part["r2_adjusted"].fillna(0)).groupby(part["of"]).max().nlargest(MOST)
    return part[part["of"].isin(largest.index)]


def _columns(table: pd.DataFrame) -> pd.DataFrame:
    """Nuisances that were tested, in the order of the table, then the regions that the latents encode most."""
    tested = table[table["status"] == "ok"]
    columns = tested[tested["nuisance_kind"] != "region"].drop_duplicates("nuisance")
    regions = tested[tested["nuisance_kind"] == "region"].groupby("nuisance")["r2_adjusted"].max().nlargest(REGIONS)
    last = pd.DataFrame({"nuisance": regions.index, "nuisance_kind": "region", "declared": False})
    return pd.concat([columns[["nuisance", "nuisance_kind", "declared"]], last], ignore_index=True)


def _heat(axis: Axes, part: pd.DataFrame, columns: pd.DataFrame, kind: str) -> AxesImage:
    names, wanted = list(dict.fromkeys(part["of"])), list(columns["nuisance"])
    wide = part.pivot(index="of", columns="nuisance", values="r2_adjusted").reindex(index=names, columns=wanted)
    flagged = part[part["flagged"].astype("boolean").fillna(False)]
    axis.set_facecolor("0.85")
    image = axis.imshow(wide.to_numpy(float), vmin=0, vmax=HIGHEST, cmap="Blues", aspect="auto", interpolation="none")
    for cell in flagged.itertuples():
        corner = (wanted.index(cell.nuisance) - 0.5, names.index(cell.of) - 0.5)
        axis.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=ORANGE, linewidth=1.6))
    labels = [f"{WORDS.get(c.nuisance, c.nuisance)}{' *' if c.declared else ''}" for c in columns.itertuples()]
    axis.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axis.set_yticks(range(len(names)), names, fontsize=6 if len(names) > 20 else 8)
    axis.set_ylabel(f"{kind}s")
    regions = int((columns["nuisance_kind"] == "region").sum())
    if regions:
        axis.axvline(len(labels) - regions - 0.5, color="black", linewidth=1)
    if regions and kind == "latent":
        axis.set_title("regional volumes", loc="right", fontsize=8)
    return image
