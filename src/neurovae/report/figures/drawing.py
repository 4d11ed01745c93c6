"""What the figures share: house style, slices of volumes, saving beside and renaming."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from neurovae.io.files import write_beside

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6E6E6E"  # Okabe and Ito: colour-blind safe
COLOURS = {"training": BLUE, "validation": GREEN, "test": ORANGE}
NAMES = {"training": "training", "validation": "early stopping", "test": "held out"}

plt.rcParams.update(
    {
        "font.size": 9,
        "text.parse_math": False,  # names of scores are text, also with $ in them
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 10,
        "figure.dpi": 110,
        "savefig.dpi": 160,
        "legend.frameon": False,
    }
)


def save(figure: Figure, path: Path) -> None:
    """Write the figure as PNG."""
    with write_beside(path) as temporary:
        figure.savefig(temporary, bbox_inches="tight", facecolor="white")
    plt.close(figure)


def slices(volume: np.ndarray, outside: float = 0.0) -> np.ndarray:
    """Axial, coronal and sagittal slice through the ventricles, side by side, the shorter ones padded with `outside`.

    The left hemisphere is on the left (neurological convention); top is superior, or anterior in the axial slice.
    """
    x, y, z = (int(round(share * side)) for share, side in zip((0.46, 0.52, 0.52), volume.shape, strict=True))
    views = [volume[:, :, z].T[::-1], volume[:, y, :].T[::-1], volume[x, :, :].T[::-1]]
    height = max(view.shape[0] for view in views)
    return np.concatenate([_pad(view, height, outside) for view in views], axis=1)


def _pad(view: np.ndarray, height: int, outside: float) -> np.ndarray:
    missing = height - view.shape[0]
    return np.pad(view, ((missing // 2, missing - missing // 2), (0, 0)), constant_values=outside)
