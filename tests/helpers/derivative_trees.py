"""Folders as fMRIPrep, CAT12, FSL-VBM and FreeSurfer lay them out, of small images that carry their person."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np

from neurovae.preprocess import grid

MM = 4.0
MNI = "space-MNI152NLin2009cAsym_res-2"
BLOBS = ((-30.0, -60.0, 20.0), (30.0, 20.0, 10.0), (-40.0, -10.0, -10.0), (20.0, -40.0, 40.0))  # mm


def brain(person: int, shift: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> nib.Nifti1Image:
    """The stripped template at 4 mm, brighter at a place of the person's own; voxels, not the header, are shifted."""
    image = grid.template(MM)
    world = nib.affines.apply_affine(image.affine, np.moveaxis(np.indices(image.shape), 0, -1))
    near = np.exp(-np.square(world - BLOBS[person % len(BLOBS)]).sum(-1) / 2 / 9**2)
    data = image.get_fdata(dtype=np.float32) * (1 + 0.8 * near) * 500
    steps = np.round(np.array(shift) / MM).astype(int)
    return nib.Nifti1Image(np.roll(data, steps, (0, 1, 2)).astype(np.float32), image.affine)


def grey(person: int) -> nib.Nifti1Image:
    """A grey-matter map, 0 to 1: what of the template lies between fluid and white matter, lowered at the blob."""
    t1, own = grid.template(MM).get_fdata(), brain(person).get_fdata() / 500
    level = np.exp(-np.square((t1 - 0.62) / 0.15) / 2) * grid.brain_mask(MM)
    return nib.Nifti1Image(
        (level * np.where(t1 > 0, t1 / np.maximum(own, 1e-6), 1)).astype(np.float32), brain(0).affine
    )


def mask(shift: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> nib.Nifti1Image:
    """The brain mask on the same voxels."""
    steps = np.round(np.array(shift) / MM).astype(int)
    return nib.Nifti1Image(np.roll(grid.brain_mask(MM), steps, (0, 1, 2)).astype(np.uint8), grid.template(MM).affine)


def save(image: nib.Nifti1Image, path: Path, sidecar: dict | None = None) -> Path:
    """Write an image and, where there is one, its sidecar."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    if sidecar is not None:
        (path.parent / f"{path.name.split('.')[0]}.json").write_text(json.dumps(sidecar))
    return path


def participants(folder: Path, people: list[str]) -> Path:
    """A table with an age for each person, one of whom was never scanned."""
    rows = "".join(f"{person}\t{40 + turn}\n" for turn, person in enumerate([*people, "sub-99"]))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "participants.tsv").write_text(f"participant_id\tage\n{rows}")
    return folder / "participants.tsv"


def fmriprep(
    root: Path, people: list[str], *, session: str = "", shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> Path:
    """An fMRIPrep 24 folder: native and MNI images, masks and tissue maps of each person, reports, transforms."""
    save_text(root / "dataset_description.json", '{"Name": "fMRIPrep", "DatasetType": "derivative"}')
    for turn, person in enumerate(people):
        name = f"{person}_{session}" if session else person
        anat = root / person / session / "anat" if session else root / person / "anat"
        native = nib.Nifti1Image(np.flip(brain(turn).get_fdata(dtype=np.float32), 2) + 7, np.diag([4.0, 4.0, 4.0, 1.0]))
        for space, image in (("", native), (f"{MNI}_", brain(turn, shift))):
            save(image, anat / f"{name}_{space}desc-preproc_T1w.nii.gz", {"SkullStripped": False})
            save(mask(shift), anat / f"{name}_{space}desc-brain_mask.nii.gz", {"Type": "Brain", "RawSources": []})
            save(mask(), anat / f"{name}_{space}dseg.nii.gz")
            for tissue in ("CSF", "GM", "WM"):
                save(grey(turn), anat / f"{name}_{space}label-{tissue}_probseg.nii.gz")
        save_text(anat / f"{name}_from-T1w_to-MNI152NLin2009cAsym_mode-image_xfm.h5", "")
        save_text(anat / f"{name}_hemi-L_pial.surf.gii", "")
        save_text(root / f"{person}.html", "")
        save(brain(turn), root / person / "func" / f"{name}_task-rest_{MNI}_boldref.nii.gz")
    return root


def cat12(root: Path, people: list[str]) -> Path:
    """CAT12 beside the scans: mri with all tissues and native maps, report, label, surf."""
    for turn, person in enumerate(people):
        for kind in ("mwp1", "mwp2", "wm", "p0"):
            save(grey(turn) if kind == "mwp1" else brain(turn), root / "mri" / f"{kind}{person}_T1w.nii")
        for name in (
            f"report/cat_{person}_T1w.xml",
            f"report/catreport_{person}_T1w.pdf",
            f"label/catROI_{person}_T1w.xml",
            f"surf/lh.central.{person}_T1w.gii",
        ):
            save_text(root / name, "")
        save(brain(turn), root / f"{person}_T1w.nii")
    return root


def fsl_vbm(root: Path, people: list[str]) -> Path:
    """FSL-VBM: the people in one 4-D file of stats, their single images in struc, the list in the order of volumes."""
    maps = np.stack([grey(turn).get_fdata(dtype=np.float32) for turn, _ in enumerate(people)], axis=-1)
    for name in ("GM_mod_merg", "GM_mod_merg_s3"):
        save(nib.Nifti1Image(maps, brain(0).affine), root / "stats" / f"{name}.nii.gz")
    save(mask(), root / "stats" / "GM_mask.nii.gz")
    for turn, person in enumerate(people):
        save(brain(turn), root / "struc" / f"{person}_struc.nii.gz")
    save_text(root / "subjects.txt", "".join(f"{person}_struc.nii.gz\n" for person in people))
    return root


def freesurfer(root: Path, people: list[str]) -> Path:
    """A SUBJECTS_DIR: mri folders of the people, whole heads beside stripped ones, and fsaverage."""
    for turn, person in enumerate([*people, "fsaverage"]):
        image = brain(turn)
        turned = image.as_reoriented(np.array([[0, -1], [2, -1], [1, 1]]))  # LIA, as recon-all conforms
        for name in ("norm", "brain", "T1", "orig"):
            filled = turned.get_fdata(dtype=np.float32) / 5
            filled = np.where(filled > 20, filled, 0) if name in ("norm", "brain") else filled + 20
            save(
                nib.MGHImage(filled.astype(np.uint8 if name != "norm" else np.float32), turned.affine),
                root / person / "mri" / f"{name}.mgz",
            )
        save_text(root / person / "scripts" / "recon-all.done", "")
        save_text(root / person / "surf" / "lh.white", "")
    return root


def save_text(path: Path, text: str) -> None:
    """Write a small file, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
