"""Pictures as data URIs: PNGs of the run, figures, and slices of a scan with the outline of its mask, all as WebP."""

import base64
import io
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from scipy.ndimage import binary_erosion

from neurovae.report.blocks import Block, Run, absent, figure
from neurovae.report.figures.drawing import slices

WIDTH = 1500  # pixels of the widest picture
HEIGHT = 170  # pixels of a scan's slices
QUALITY = 82
DPI = 130
OUTLINE = (0xD5, 0x5E, 0x00)  # Okabe and Ito's vermillion, ORANGE of the other pictures


def uri(image: Image.Image) -> str:
    """A picture as WebP in a data URI."""
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=QUALITY, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def picture(run: Run, name: str, alt: str, why: str) -> Block:
    """A PNG of the report's folder with the first sentence of its caption; `why` is shown if it is not there."""
    path = run.cohort / "report" / name
    if not path.exists():
        return absent(f"report/{name}", why)
    with Image.open(path) as image:
        small = image.convert("RGB")
    if small.width > WIDTH:
        small = small.resize((WIDTH, round(small.height * WIDTH / small.width)), Image.Resampling.LANCZOS)
    return figure(uri(small), caption(run.captions, Path(name).stem.split("_")[-1]), f"report/{name}", alt)


def caption(folder: Path, name: str) -> str:
    """First sentence of a caption file, or nothing."""
    path = folder / f"{name}.rst"
    words = " ".join(path.read_text(encoding="utf-8").split()) if path.exists() else ""
    return words.split(". ")[0].rstrip(".") + "." if words else ""


def drawn(made: Figure) -> str:
    """A figure with a layout of its own as data URI, closed."""
    made.set_dpi(DPI)
    canvas = FigureCanvasAgg(made)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    plt.close(made)
    return uri(image)


def scan(volume: np.ndarray, mask: np.ndarray | None = None) -> str:
    """Three slices of a volume (x, y, z) in grey as data URI, the mask's outline in orange where one is given."""
    inside = volume[mask] if mask is not None and mask.any() else volume[volume != 0]
    low, high = (float(value) for value in np.percentile(inside, [1, 99.5])) if inside.size else (0.0, 1.0)
    low = min(low, 0.0) if mask is not None else low
    filled_in = volume if mask is not None else np.where(volume == 0, low, volume)  # packed scans are 0 outside
    grey = np.clip((slices(filled_in.astype(np.float32), low) - low) / max(high - low, 1e-6), 0, 1)
    size = (round(HEIGHT * grey.shape[1] / grey.shape[0]), HEIGHT)
    small = Image.fromarray((255 * grey).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC).convert("RGB")
    if mask is None:
        return uri(small)
    flat = Image.fromarray((255 * slices(mask.astype(np.float32))).astype(np.uint8)).resize(
        size, Image.Resampling.BICUBIC
    )
    filled = np.asarray(flat) > 127
    pixels = np.array(small)
    pixels[filled & ~binary_erosion(filled, iterations=2)] = OUTLINE
    return uri(Image.fromarray(pixels))
