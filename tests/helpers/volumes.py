"""Regional volumes of `ixi` from its DLMUSE labels, as a table for `audit.volumes`: python tests/helpers/volumes.py DATA OUT."""

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

REGIONS = {"ventricles_ml": (51, 52), "hippocampi_ml": (47, 48)}  # lateral ventricles, hippocampi: right, left


def volumes(data: Path) -> pd.DataFrame:
    """A row per person: regions, cortex and the intracranial volume in ml, and the ventricles' share of the last."""
    rows = []
    for path in sorted(data.glob("derivatives/dlmuse/sub-*/anat/*_dseg.nii.gz")):
        image = nib.Nifti1Image.from_filename(path)
        labels, ml = np.asarray(image.dataobj), float(np.prod(image.header.get_zooms()[:3])) / 1000
        row = {name: np.isin(labels, pair).sum() * ml for name, pair in REGIONS.items()}
        row |= {"cortex_ml": (labels >= 100).sum() * ml, "icv_ml": (labels > 0).sum() * ml}
        rows.append({"participant_id": path.name.split("_")[0], **row})
    table = pd.DataFrame(rows)
    return table.assign(ventricles_icv=table["ventricles_ml"] / table["icv_ml"])


if __name__ == "__main__":
    out = Path(sys.argv[2])
    out.parent.mkdir(parents=True, exist_ok=True)
    volumes(Path(sys.argv[1])).round(6).to_csv(out, sep="\t", index=False)
