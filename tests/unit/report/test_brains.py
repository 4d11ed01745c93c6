"""Brain slices: left is left, up is front or top, and the planes are those through the place that is asked for."""

import matplotlib.pyplot as plt
import numpy as np
from nibabel.affines import apply_affine

from neurovae.report.figures import brains

SHAPE = (8, 12, 10)
AFFINE = np.array([[4.0, 0, 0, -14], [0, 4, 0, -40], [0, 0, 4, -20], [0, 0, 0, 1]])


def marked(*voxel: int) -> np.ndarray:
    volume = np.zeros(SHAPE)
    volume[voxel] = 1
    return volume


def test_a_voxel_appears_where_its_hemisphere_and_height_are():
    place = (1, 10, 8)  # left, anterior, superior
    image = brains.slices(marked(*place), place, outside=-1)
    assert image.shape == (12, 8 + 8 + 12)  # axial, coronal, sagittal; the coronal and sagittal are padded by 1 and 1
    rows, columns = np.nonzero(image == 1)
    axial, coronal, sagittal = sorted(zip(columns.tolist(), rows.tolist(), strict=True))
    assert axial == (1, 12 - 1 - 10)  # left of the axial slice, near its top
    assert coronal == (8 + 1, 1 + 10 - 1 - 8) and sagittal == (16 + 10, 1 + 10 - 1 - 8)
    assert (image[0, 8:] == -1).all() and (image[:, :8] != -1).all()


def test_other_planes_do_not_show_the_voxel():
    assert brains.slices(marked(1, 10, 8), (2, 9, 7)).sum() == 0


def test_a_place_in_mm_is_its_voxel():
    for voxel in ((0, 0, 0), (7, 3, 9)):
        assert brains.voxel(AFFINE, list(apply_affine(AFFINE, voxel) + 0.4)) == voxel


def test_the_planes_are_labelled_with_their_coordinates():
    _, axis = plt.subplots()
    brains.located(axis, SHAPE, (1, 10, 8), AFFINE)
    words = [text.get_text() for text in axis.texts]
    plt.close("all")
    assert words == ["L", "R", "L", "R", "z = 12 mm", "y = 0 mm", "x = -10 mm"]


def test_an_overlay_is_transparent_where_nothing_changes():
    _, axis = plt.subplots()
    brain = np.ones(SHAPE, bool)
    change = 2 * marked(1, 10, 8) + 0.2 * marked(1, 10, 7)
    brains.overlay(axis, np.random.default_rng(0).random(SHAPE), change, brain, (1, 10, 8), limit=2.0)
    alpha = axis.images[1].get_alpha()
    plt.close("all")
    assert alpha.max() == 1 and (alpha > 0).sum() == 3  # once in each plane; 10 % of the limit stays invisible
