"""A dry run with a model that starts from another cohort's: its variants, their files and the comparison are planned."""

import json
import re
import subprocess
import sys
from pathlib import Path

import source_folder
import tiny
from bids_tree import plant

ROOT = Path(__file__).parents[2]


def test_the_variants_and_their_comparison_are_jobs_and_another_grid_stops_before_them(tmp_path: Path) -> None:
    path = source_folder.exported(tmp_path, options={**tiny.LINEAR, "flip": False}, people=24)
    way = json.loads((path / "preprocessing.json").read_text())
    (path / "preprocessing.json").write_text(json.dumps(way | {"voxel_mm": 4}))
    people = [f"sub-{number:02d}" for number in range(1, 21)]
    cohort = plant(tmp_path / "bids", people, table="participant_id\tage\n" + "".join(f"{one}\t50\n" for one in people))
    text = f"train: {{models: [{{name: mine, kind: pca, n_latent: 4, start_from: {path}}}]}}\n"
    text += f"cohort: {{name: x, bids: {cohort['bids']}, scores: []}}\npreprocess: {{voxel_mm: "

    def said(voxel_mm: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "my.yaml").write_text(text + voxel_mm + "}\n")
        command = [sys.executable, "-m", "snakemake", "-n", "-p", "--configfile", str(tmp_path / "my.yaml")]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    done = said("4")
    assert done.returncode == 0, done.stdout + done.stderr
    fits = {
        model: line
        for line in done.stdout.splitlines()
        for model in re.findall(r"train\.fit .*train/([\w-]+)/fold", line)
    }
    assert set(fits) == {"mine", "mine-frozen", "mine-scratch"}
    assert [f"--source {path}" in fits[name] for name in ("mine", "mine-frozen", "mine-scratch")] == [True, True, False]
    assert "neurovae.train.start_from" in done.stdout and "train/start_from.tsv" in done.stdout
    refused = said("2")
    assert refused.returncode and "'mine': voxel_mm is 2 in this run, but 4 in" in refused.stdout + refused.stderr
