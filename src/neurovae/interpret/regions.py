"""Regions of the coarse built-in atlas, from nilearn's ICBM 152 2009a template and coordinates written down here.

Tissue classes (grey, white, neither) come from the template's probability maps; which structure a voxel belongs to
follows from tubes and ellipsoids about well-known MNI coordinates and from planes between the lobes. They name
locations; they do not delineate structures. None of them uses the demo's planted regions (`cohort.anatomy`).
"""

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from nilearn.datasets import load_mni152_brain_mask, load_mni152_gm_template, load_mni152_wm_template
from scipy import ndimage

SOURCE = "ICBM 152 nonlinear symmetric 2009a (Fonov et al. 2011) as bundled with nilearn; regions by neurovae"
LICENCE = (
    "template (c) 1993-2004 Louis Collins, McConnell Brain Imaging Centre, McGill University: use, copying, "
    "modification and distribution for any purpose without fee, provided that this notice appears in all copies"
)
TUBES = {  # centre lines of the right hemisphere, mm
    "hippocampus": ((23, -9, -20), (27, -15, -18), (29, -24, -13), (29, -32, -7), (23, -39, -1)),
    "caudate": ((9, 18, -2), (11, 15, 7), (14, 6, 14), (15, -5, 19), (18, -17, 21)),
    "brain stem": ((0, -20, -8), (0, -26, -18), (0, -27, -32), (0, -35, -46), (0, -42, -60), (0, -45, -72)),
}
RADII = {"hippocampus": 6.0, "caudate": 5.5, "brain stem": 14.0}
MIDLINE = ("brain stem", "third ventricle", "corpus callosum")
METHODS = {
    "lateral ventricle": "neither grey nor white, connected, in a box about the midline and the occipital horns",
    "third ventricle": "neither grey nor white, |x| < 5 mm, between the thalami",
    "brain stem": f"tube of radius {RADII['brain stem']:g} mm from the midbrain to the medulla",
    "cerebellum": "below a tilted plane behind the brain stem",
    "hippocampus": f"tube of radius {RADII['hippocampus']:g} mm, grey",
    "amygdala": "ball of radius 7 mm, grey",
    "thalamus": "ellipsoid",
    "caudate": f"tube of radius {RADII['caudate']:g} mm, grey",
    "putamen and pallidum": "ellipsoid within the insula",
    "corpus callosum": "white, |x| < 10 mm, within the cingulate's arc",
    "insular cortex (box)": "grey, box",
    "cingulate cortex (box)": "grey, arc about the corpus callosum, |x| < 14 mm",
    "medial temporal cortex (box)": "grey, box about the hippocampus",
    "CSF (sulcal and other)": "neither grey nor white, elsewhere",
}
LOBES = ("frontal", "temporal", "parietal", "occipital")
METHODS |= {f"{lobe} cortex (box)": "grey, between planes" for lobe in LOBES}
METHODS |= {f"{lobe} white matter (box)": "white, between planes" for lobe in LOBES}


@dataclass(frozen=True)
class Tissue:
    """The template's brain at 2 mm: where it is, and each voxel's world coordinates and class."""

    affine: np.ndarray
    brain: np.ndarray  # bool, (x, y, z)
    points: np.ndarray  # (3, voxels) mm
    grey: np.ndarray  # (voxels,)
    white: np.ndarray
    fluid: np.ndarray


def tissue() -> Tissue:
    """The template's tissue classes; white where white is likelier than grey, fluid where both together are not."""
    loads = (load_mni152_brain_mask, load_mni152_gm_template, load_mni152_wm_template)
    images = [load(resolution=1).slicer[::2, ::2, ::2] for load in loads]  # every other voxel of the 1 mm grid
    image, brain = images[0], images[0].get_fdata() > 0.5
    grey, white = (one.get_fdata(dtype=np.float32)[brain] for one in images[1:])
    points, fluid = nib.affines.apply_affine(image.affine, np.argwhere(brain)).T, grey + white < 0.5
    return Tissue(image.affine, brain, points, ~fluid & (grey >= white), ~fluid & (white > grey), fluid)


def builtin() -> tuple[np.ndarray, np.ndarray, list[dict[str, str]]]:
    """Labels (x, y, z) from 1, their affine, and a row per label: name, hemisphere, made, source, licence."""
    brain_tissue = tissue()
    names, in_left = region_of_voxel(brain_tissue), brain_tissue.points[0] < 0
    labels, rows = np.zeros(names.shape, np.int16), []
    for name in METHODS:
        sides = {"midline": in_left | ~in_left} if name in MIDLINE else {"left": in_left, "right": ~in_left}
        for side, inside in sides.items():
            rows.append({"name": name, "hemisphere": side, "made": METHODS[name], "source": SOURCE, "licence": LICENCE})
            labels[inside & (names == name)] = len(rows)
    volume = np.zeros(brain_tissue.brain.shape, np.int16)
    volume[brain_tissue.brain] = labels
    return volume, brain_tissue.affine, rows


def region_of_voxel(brain_tissue: Tissue) -> np.ndarray:
    """The region of every voxel of the brain, (voxels,); the later of two that overlap stands."""
    x, y, z = np.abs(brain_tissue.points[0]), brain_tissue.points[1], brain_tissue.points[2]
    lobe, names = lobes(x, y, z), np.full(len(x), "", object)
    names[brain_tissue.grey], names[brain_tissue.white] = (
        lobe[brain_tissue.grey] + " cortex (box)",
        lobe[brain_tissue.white] + " white matter (box)",
    )
    arc = ((y + 4) / 50) ** 2 + ((z - 2) / 42) ** 2
    above = (z > -10) & ((y > -52) | (z > 5))
    medial = (x > 10) & (x < 36) & (y > -44) & (y < 6) & (z < np.where(y < -24, 3, -4)) & (z > -38)
    names[brain_tissue.grey & medial] = "medial temporal cortex (box)"
    names[brain_tissue.grey & (x < 14) & (arc > 0.45) & (arc < np.where(y < -20, 1.3, 1.15)) & above] = (
        "cingulate cortex (box)"
    )
    names[brain_tissue.grey & (x > 29) & (x < 44) & (y > -24) & (y < 22) & (z > -12) & (z < 16)] = (
        "insular cortex (box)"
    )
    names[brain_tissue.white & (x < 10) & (arc < 0.75) & (z > 2)] = "corpus callosum"
    names[ellipsoid(x, y, z, (25, 2, 2), (8.5, 19, 11)) & ~brain_tissue.fluid] = "putamen and pallidum"
    names[ellipsoid(x, y, z, (11, -18, 8), (11, 14, 9)) & ~brain_tissue.fluid] = "thalamus"
    for name in ("caudate", "hippocampus"):
        names[tube(x, y, z, name) & brain_tissue.grey] = name
    names[ellipsoid(x, y, z, (23, -4, -19), (7, 7, 7)) & brain_tissue.grey] = "amygdala"
    names[brain_tissue.fluid] = "CSF (sulcal and other)"
    names[brain_tissue.fluid & (x < 5) & (y > -34) & (y < 4) & (z > -14) & (z < 12)] = "third ventricle"
    names[ventricles(brain_tissue)] = "lateral ventricle"
    names[~brain_tissue.fluid & below_tentorium(x, y, z)] = "cerebellum"
    names[~brain_tissue.fluid & tube(x, y, z, "brain stem")] = "brain stem"
    return names


def lobes(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Lobe of each point by planes, |x|, y, z in mm: central, Sylvian and parieto-occipital sulcus."""
    name = np.where(y > -3 - 0.38 * (z - 5), "frontal", "parietal").astype(object)
    sylvian = (x > 30) & (z < -1 - 0.42 * y) & (y < 4)
    temporal = (x > 18) & (z < -6) & (y < 4)
    pole = (y >= 4) & (y < 24) & (((x > 24) & (z < -22)) | ((x > 44) & (z < -8)))
    name[sylvian | temporal | pole] = "temporal"
    name[y < np.where(x < 25, -57 - 0.7 * np.clip(z - 8, 0, None), -62 - 0.6 * np.clip(z - 5, 0, None))] = "occipital"
    name[(y < -44) & (x < 25) & (z < 5) & (name != "temporal")] = "occipital"
    return name


def below_tentorium(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Points under a roof that falls from the vermis backwards and sideways."""
    roof = np.minimum(-8 - 0.3 * x + 0.35 * (y + 52), -6 - 0.35 * x)
    return np.asarray((y < -34) & (z < roof))


def ellipsoid(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, centre: tuple[int, int, int], radii: tuple[float, float, float]
) -> np.ndarray:
    """Points within an ellipsoid along the axes, mm."""
    offsets = zip((x, y, z), centre, radii, strict=True)
    return np.asarray(sum(((at - middle) / radius) ** 2 for at, middle, radius in offsets) < 1)


def tube(x: np.ndarray, y: np.ndarray, z: np.ndarray, name: str) -> np.ndarray:
    """Points within RADII of the centre line in TUBES, mm."""
    points, line = np.stack([x, y, z], axis=-1), np.array(TUBES[name], float)
    nearest = np.full(x.shape, np.inf)
    for start, end in zip(line[:-1], line[1:], strict=True):
        fraction = np.clip((points - start) @ (end - start) / np.sum((end - start) ** 2), 0, 1)
        nearest = np.minimum(nearest, np.linalg.norm(points - start - fraction[..., None] * (end - start), axis=-1))
    return nearest < RADII[name]


def ventricles(brain_tissue: Tissue) -> np.ndarray:
    """Lateral ventricles, (voxels,): pieces of fluid that reach the bodies (+-8, 0, 19) or atria (+-24, -44, 9) mm."""
    x, y, z = np.abs(brain_tissue.points[0]), brain_tissue.points[1], brain_tissue.points[2]
    inside = brain_tissue.fluid & (y > -75) & (y < 38) & (z > -4) & (z < 32) & (x < np.where(y < -20, 36, 20))
    inside &= ~((x < 6) & ((z < 12) | (y < -30)))  # the third ventricle and the cisterns behind it
    volume = np.zeros(brain_tissue.brain.shape, bool)
    volume[brain_tissue.brain] = inside
    pieces = ndimage.label(volume)[0][brain_tissue.brain]
    seeds = ellipsoid(x, y, z, (8, 0, 19), (8, 30, 8)) | ellipsoid(x, y, z, (24, -44, 9), (6, 10, 8))
    return np.isin(pieces, np.setdiff1d(pieces[seeds & inside], [0]))
