"""Which kinds of model there are, and what sets them apart before the first job. Standard library only."""

from typing import Any

from neurovae.plan.latent_maps import is_map

Entries = dict[str, dict[str, Any]]
GIVEN = ("table", "pretrained", "networks")  # kinds whose latents exist before training; some pretrained are decoded
COLUMNS = ("table", "pretrained")  # kinds whose latents may be the columns that they read, without a number of them
UNTRAINED = (*GIVEN, "frozen")  # kinds whose baseline has settings of its own
BASELINE = {"n_latent": 16, "blur": 4}  # of the PCA beside a table that keeps its columns; as the schema's defaults
SEVERAL = ("fused", "linear_blocks")  # kinds that read several blocks
PERIODS = ("vae", "autoencoder", "fused")  # kinds that are trained in epochs
PAIRWISE = ("mds", "isomap", "lle")  # kinds whose cost grows with the square of the training scans
MAX_SCANS = 5000  # training scans of these (train.models.manifold.MAX_SCANS, whose import would load scikit-learn)
NOT_OPTIONS = (
    "name",
    "kind",
    "transductive",
    "path",
    "block",
    "blocks",
    "baseline",
    "inner",
    "start_from",
    "source_latents",
    "source_kind",
    "variant_of",
    "twins",
)  # keys of an entry that its module does not get


def localised(entry: dict[str, Any]) -> bool:
    """May the entry's components be localised, so that there can be more of them than training scans?"""
    used = entry["kind"] == "pca_localised" or entry.get("linear") == "localised"
    return used and entry["taper_mm"] != ["none"]


def may_exceed_pca(entry: dict[str, Any]) -> bool:
    """May an entry have more latents than a PCA of the same participants, which is then given as many as there are?"""
    columns = entry["kind"] in GIVEN and entry["n_latent"] is None
    return localised(entry) or is_map(entry) or entry["kind"] == "frozen" or columns


def tested(entry: dict[str, Any], columns: int) -> int:
    """How many latents of an entry are tested. columns: of its table, where they are the latents."""
    n_latent = int(entry["n_latent"] or columns)
    # of networks: SD and amplitude of each, and the correlation of each pair
    return n_latent * (n_latent + 3) // 2 if entry["kind"] == "networks" else n_latent
