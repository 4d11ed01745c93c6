"""The files that make the folder of preprocessed scans a valid BIDS derivative dataset."""

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from neurovae.io.files import write_beside, write_json

BIDS_VERSION = "1.10.0"
IGNORED = ("*_xfm.mat",)  # files that BIDS has no name for; fMRIPrep excludes them from validation too
README = """# Preprocessed scans
Written by neurovae: brain mask, affine transform to MNI152NLin2009aSym, and the brain in MNI space
before (`desc-brain`) and after (`desc-preproc`) intensity normalisation.
How each quality number is computed is described in docs/quality.md of neurovae.
"""


def describe(folder: Path, source: str) -> None:
    """Write `dataset_description.json`, `README.md` and `.bidsignore` into a folder of derivatives.

    Args:
        folder: the folder that holds sub-*.
        source: path of the folder or table that the scans came from; noted relative to `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("README.md", README), (".bidsignore", "\n".join(IGNORED) + "\n")):
        with write_beside(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    write_json(
        folder / "dataset_description.json",
        {
            "Name": "Scans preprocessed by neurovae",
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "neurovae", "Version": _version()}],
            "SourceDatasets": [{"URL": os.path.relpath(source, folder)}],
        },
    )


def _version() -> str:
    """Return the installed version; the package may also run from its sources."""
    try:
        return version("neurovae")
    except PackageNotFoundError:
        return "0+unknown"
