"""What the figures share: style, colours, names of the three sets, saving, and a figure of one sentence."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter
from PIL import Image, ImageChops, ImageOps

from neurovae.io.files import write_beside

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6E6E6E"  # Okabe and Ito: safe for colour-blind readers
PALETTE = [BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#B8A800"]  # the same, yellow darkened
COLOURS = {"training": BLUE, "validation": GREEN, "test": ORANGE}
MARGIN = 16  # pixels of white around a saved figure

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
    """Write the figure as PNG and close it; logarithmic axes get plain numbers, since math text is not parsed."""
    for axis in (part for axes in figure.axes for part in (axes.xaxis, axes.yaxis) if part.get_scale() == "log"):
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())
    image = rendered(figure, plt.rcParams["savefig.dpi"])
    drawn = ImageChops.difference(image, Image.new("RGB", image.size, "white")).getbbox()
    with write_beside(path) as temporary:
        ImageOps.expand(image.crop(drawn), MARGIN, "white").save(temporary, format="PNG")


def rendered(figure: Figure, dpi: float) -> Image.Image:
    """Draw the figure once, with its own layout, and close it."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    plt.close(figure)
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def sentence(text: str) -> Figure:
    """A figure that only says why there is none."""
    figure, axis = plt.subplots(figsize=(7, 1.2))
    axis.set_axis_off()
    axis.text(0, 0.5, text, va="center", fontsize=8, wrap=True)
    return figure
