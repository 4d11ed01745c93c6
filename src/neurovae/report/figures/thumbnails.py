"""Pictures as data URIs: PNGs of the run, figures, and slices of a scan with the outline of its mask, all as WebP."""

import base64
import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from scipy.ndimage import binary_erosion

from neurovae.report.figures.brains import slices
from neurovae.report.figures.drawing import rendered

WIDTH = 1500  # pixels of the widest picture
HEIGHT = 170  # pixels of a scan's slices
QUALITY = 82
DPI = 130
OUTLINE = (0xD5, 0x5E, 0x00)  # ORANGE of the other figures


def uri(image: Image.Image, quality: int = QUALITY) -> str:
    """A picture as WebP in a data URI."""
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=quality, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def png(path: Path) -> str:
    """A PNG, reduced to the page's width, as data URI."""
    with Image.open(path) as image:
        small = image.convert("RGB")
    if small.width > WIDTH:
        small = small.resize((WIDTH, round(small.height * WIDTH / small.width)), Image.Resampling.LANCZOS)
    return uri(small)


def drawn(figure: Figure, dpi: int = DPI) -> str:
    """A figure with its own layout as data URI; closes it."""
    return uri(rendered(figure, dpi))


def scan(volume: np.ndarray, mask: np.ndarray | None = None) -> str:
    """Three slices of a volume in grey as data URI, with the outline of the mask where one is given."""
    inside = volume[mask] if mask is not None and mask.any() else volume[volume != 0]
    low, high = (float(value) for value in np.percentile(inside, [1, 99.5])) if inside.size else (0.0, 1.0)
    low = min(low, 0.0) if mask is not None else low
    filled_in = volume if mask is not None else np.where(volume == 0, low, volume)  # packed scans are 0 outside
    grey = np.clip((slices(filled_in.astype(np.float32), outside=low) - low) / max(high - low, 1e-6), 0, 1)
    size = (round(HEIGHT * grey.shape[1] / grey.shape[0]), HEIGHT)
    small = Image.fromarray((255 * grey).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC).convert("RGB")
    if mask is None:
        return uri(small)
    flat = Image.fromarray((255 * slices(mask.astype(np.float32))).astype(np.uint8))
    filled = np.asarray(flat.resize(size, Image.Resampling.BICUBIC)) > 127
    pixels = np.array(small)
    pixels[filled & ~binary_erosion(filled, iterations=2)] = OUTLINE
    return uri(Image.fromarray(pixels))
