"""A T1w-like head around a skull-stripped brain: CSF, skull with marrow, scalp, eyes, face and neck, drawn by distance.

A phantom, not an atlas: its shells and ellipsoids are there for brain extraction and have no anatomy of their own.
Intensities: white matter near 1, grey .7, CSF .2, bone and air near 0, marrow .5, fat 1.2, muscle .5.
"""

import numpy as np
from scipy import ndimage

MARGIN = ((10, 10), (12, 16), (34, 12))  # voxels added around the template for skull, face and neck
CAPSULE = (88.0, -12.0, 12.0)  # mm, a vitamin-E capsule taped to the right temple, as scanner sites do to know the side
STEP = 2.0  # mm


def add_head(t1: np.ndarray, brain: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Head intensity, brain (0-1) and affine on a grid larger than the template's; `affine` is a plain 2 mm one."""
    t1, brain = np.pad(t1 * brain, MARGIN), np.pad(brain, MARGIN)
    brain = ndimage.binary_fill_holes(brain)
    larger = affine.copy()
    larger[:3, 3] -= STEP * np.array([before for before, _ in MARGIN])
    axes = [larger[k, 3] + STEP * np.arange(n) for k, n in enumerate(t1.shape)]
    world = list(np.meshgrid(*axes, indexing="ij", sparse=True))
    shells = draw_shells(brain, world)
    edge = ndimage.gaussian_filter(brain.astype(np.float32), 0.5)
    t1 = t1 / np.percentile(t1[brain], 90)
    head = np.where(brain, t1, 0) * edge + ndimage.gaussian_filter(shells, 0.5) * (1 - edge)
    return head.astype(np.float32), edge, larger


def draw_shells(brain: np.ndarray, world: list[np.ndarray]) -> np.ndarray:
    """Draw the intensity of everything around the brain."""
    rng = np.random.default_rng(0)
    texture = ndimage.gaussian_filter(rng.normal(size=brain.shape), 2)
    texture /= texture.std()
    inner = distance(ndimage.binary_dilation(brain, iterations=1)) < 10
    inner = distance(~inner) > 8  # closed: sulci and the gap above the cerebellum belong to the inside
    depth = distance(inner)  # mm outside the inner table of the skull
    outline = (depth < 13) | face_and_neck(world)
    skin = distance(~outline)  # mm below the skin
    image = np.where(outline, 0.5 + 0.12 * texture, 0.0)  # muscle
    image = np.where(outline & (texture > 1.2), 0.9, image)  # fat between muscles
    image = np.where(outline & (skin < 6), 1.15 + 0.1 * texture, image)  # fat below the skin
    image = np.where(outline & (skin < 2.5), 0.6, image)
    image = organs(image, world)
    image = np.where(depth < 7, 0.08, image)  # skull: two dark tables ...
    image = np.where((depth > 2.5) & (depth < 4.8), 0.4 + 0.12 * texture, image)  # ... and the marrow between
    image = np.where(inner & ~brain, 0.18, image)
    image = spine(image, world, brain)
    image = np.where(ball(world, CAPSULE, (6, 6, 6)), 1.6, image)
    return image.astype(np.float32)


def distance(shape: np.ndarray) -> np.ndarray:
    """Return the distance in mm to `shape`."""
    return ndimage.distance_transform_edt(~shape, sampling=STEP)


def ball(world: list[np.ndarray], centre: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
    """Return the inside of an ellipsoid, in mm."""
    x, y, z = (((w - c) / r) ** 2 for w, c, r in zip(world, centre, radii, strict=True))
    return x + y + z < 1


def face_and_neck(world: list[np.ndarray]) -> np.ndarray:
    """Return the outline of face, nose, jaw and neck."""
    x, y, z = world
    face = ball(world, (0, 36, -62), (64, 54, 62)) | ball(world, (0, 46, -104), (46, 44, 40))
    nose = ball(world, (0, 86, -66), (13, 19, 16))
    neck = ((x / 60) ** 2 + ((y + 28) / 66) ** 2 < 1) & (z < -50)
    return face | nose | neck


def organs(image: np.ndarray, world: list[np.ndarray]) -> np.ndarray:
    """Draw orbits, eyes, nose, sinuses, throat and jaw into the face."""
    parts: list[tuple[float, tuple[float, ...], tuple[float, ...]]] = [
        (0.03, (0, 60, -58), (8, 28, 15)),  # nasal cavity
        (0.03, (0, 22, -84), (12, 10, 30)),  # throat
        (0.08, (0, 52, -80), (22, 26, 4)),  # palate
        (0.6, (0, 46, -96), (22, 30, 13)),  # tongue
    ]
    for side in (-1, 1):
        parts += [
            (1.1, (side * 32, 52, -42), (19, 22, 17)),  # orbital fat
            (0.25, (side * 32, 62, -42), (12, 12, 12)),  # eye
            (0.03, (side * 27, 56, -68), (13, 14, 13)),  # maxillary sinus
            (0.05, (side * 48, 20, -84), (6, 26, 22)),  # jaw
            (0.4, (side * 48, 20, -84), (3, 22, 17)),  # its marrow
            (0.1, (side * 58, -30, -38), (10, 14, 14)),  # mastoid air cells
        ]
    for value, centre, radii in parts:
        image = np.where(ball(world, centre, radii), value, image)
    return image


def spine(image: np.ndarray, world: list[np.ndarray], brain: np.ndarray) -> np.ndarray:
    """Continue the brain stem as a cord in CSF within vertebrae."""
    x, y, z = world
    below = (z < -66) & ~brain
    radius = np.sqrt(x**2 + (y + 44 + 0.25 * (z + 66)) ** 2)
    image = np.where((z < -84) & (radius < 22), 0.45, image)
    image = np.where(below & (radius < 14), 0.1, image)
    image = np.where(below & (radius < 11), 0.18, image)
    return np.where(below & (radius < 6), 0.85, image)
