"""Latents that a user has as a table: what is read, and each error by name before the first job."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from neurovae.errors import InputError
from neurovae.plan import baselines as pcas
from neurovae.plan import entries, latent_tables
from neurovae.plan.config import load_schema, validate
from neurovae.plan.graph import interpret_problems

PEOPLE = [f"sub-{k:02d}" for k in range(1, 31)]
SCANS = [(f"{person}_T1w", f"{person}_ses-", person) for person in PEOPLE]
INDEX: Any = SimpleNamespace(scans=[SimpleNamespace(keys=keys) for keys in SCANS])


def config(path: Path | str | None, **entry: Any) -> dict[str, Any]:
    model = {"name": "given", "kind": "table", **({} if path is None else {"path": str(path)}), **entry}
    return {
        "cohort": {"missing": {}, "not_missing": {}, "scores": [{"name": "motor"}], "confounds": [{"name": "age"}]},
        "train": {"models": [validated(model)]},
    }


def validated(model: dict[str, Any]) -> dict[str, Any]:
    whole = {"cohort": {"name": "x", "bids": "b"}, "train": {"models": [model]}}
    return dict(validate(whole, load_schema())["train"]["models"][0])


def rows(header: str = "participant_id\ta\tb\tc", people: list[str] = PEOPLE) -> list[str]:
    count = len(header.split("\t")) - 1
    values = np.random.default_rng(0).normal(size=(len(people), count)).round(3)
    return [header, *("\t".join([person, *map(str, line)]) for person, line in zip(people, values, strict=True))]


def written(folder: Path, lines: list[str], name: str = "v.tsv") -> Path:
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder / name


def test_columns_and_people_are_counted_and_those_without_a_row_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, rows(people=[*PEOPLE[:-2], "sub-90"]))
    faults, notes, sizes = latent_tables.problems(config(path), INDEX)
    assert (faults, sizes) == ([], {"given": 3})
    assert notes == [
        "v.tsv: 1 of 29 rows belong to no scan (sub-90)",
        "v.tsv: 2 of 30 scans have no row (sub-29_T1w, sub-30_T1w)",
    ]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, ["emb_0", "emb_1", "icv"]),
        ("emb_*", ["emb_0", "emb_1"]),
        (["icv", "emb_*"], ["icv", "emb_0", "emb_1"]),
        (["emb_1"], ["emb_1"]),
    ],
)
def test_columns_by_name_by_beginning_or_all(tmp_path: Path, wanted: Any, expected: list[str]) -> None:
    path = written(tmp_path, rows("person\temb_0\temb_1\ticv"))
    table, faults = latent_tables.text_table(str(path))
    found = latent_tables.latents(table, faults, SCANS, wanted)
    assert (found.problems, found.regions, len(found.values)) == ([], expected, 30)
    first = dict(zip(table.header[1:], path.read_text().split("\n")[1].split("\t")[1:], strict=True))
    assert found.values["sub-01_T1w"] == {name: float(first[name]) for name in expected}


def test_a_row_per_scan_and_a_row_per_session(tmp_path: Path) -> None:
    scans = [(f"sub-01_ses-{k}_run-1", f"sub-01_ses-{k}", "sub-01") for k in (1, 2)]
    by_scan = written(tmp_path, ["scan,person,a", *(f"{keys[0]},sub-01,{k}" for k, keys in enumerate(scans))], "a.csv")
    by_session = written(tmp_path, ["person,session,a", "01,1,0", "01,2,1"], "b.csv")
    for path in (by_scan, by_session):
        found = latent_tables.latents(*latent_tables.text_table(str(path)), scans, ["a"])
        assert found.problems == [] and [found.values[keys[0]]["a"] for keys in scans] == [0.0, 1.0]


def with_cell(row: int, column: int, text: str) -> list[str]:
    lines = rows()
    cells = lines[row].split("\t")
    cells[column] = text
    return [*lines[:row], "\t".join(cells), *lines[row + 1 :]]


def constant() -> list[str]:
    return [line if k == 0 else "\t".join([*line.split("\t")[:3], "7"]) for k, line in enumerate(rows())]


def copied() -> list[str]:
    lines = rows()
    return [*lines[:5], "\t".join(["sub-05", *lines[2].split("\t")[1:]]), *lines[6:]]


@pytest.mark.parametrize(
    ("lines", "entry", "message"),
    [
        (with_cell(3, 2, "1,5"), {}, "v.tsv, row 4: b is '1,5'; give a number (with a decimal point) or n/a"),
        (with_cell(3, 2, "n/a"), {}, "v.tsv, row 4: no value in b; give numbers, or leave the row or the column out"),
        (constant(), {}, "v.tsv: column 'c' is 7 for every scan; leave it out (columns)"),
        (copied(), {}, "v.tsv, row 6: all 3 values are those of sub-02 in row 3; give each participant their own"),
        ([*rows(), rows()[1]], {}, "v.tsv, row 32: sub-01 was already given in row 2; keep one of the two"),
        (rows("subject\ta\tb"), {}, "v.tsv, row 1: no column 'participant_id'; there are a, b, subject; correct the "
         "name, or give a column 'scan'"),
        (rows(people=[f"x{k}" for k in range(30)]), {}, "v.tsv: no row is of a scan: rows are of sub-x0, sub-x1, sub-x2 "
         "and 27 more, scans are sub-01_T1w, sub-02_T1w, sub-03_T1w and 27 more; use the same IDs"),
        (rows(people=["sub-1", *PEOPLE[1:]]), {}, "v.tsv, row 2: no scan is of sub-1, but sub-01_T1w has no row here; "
         "write both in the same way"),
        (rows("participant_id\ta\tage"), {}, "v.tsv: column 'age' is a score or confound of the cohort, too; name the "
         "latents alone in columns"),
        (rows(), {"columns": ["a", "d"]}, "v.tsv, row 1: no column 'd'; there are a, b, c; correct columns"),
        (rows(), {"columns": "emb_*"}, "v.tsv, row 1: no column begins with 'emb_'; there are a, b, c; correct columns"),
        (with_texts := ["participant_id\ta\tgroup", *(f"{one}\t{k}\tx" for k, one in enumerate(PEOPLE))],
         {"columns": ["a", "group"]}, "v.tsv: column 'group' holds text, no numbers; leave it out of columns"),
        (rows(), {"n_latent": 4}, "train.models 'given': n_latent is 4, but the table has 3 columns of latents; lower it, "
         "or set it to null"),
        (["participant_id\ta"], {}, "v.tsv: no row below the header; give a row per person"),
        (["participant_id\ta", *(f"{one}\tx" for one in PEOPLE)], {}, "v.tsv: no column of numbers; give a column per "
         "latent"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_refused_by_row_or_column(
    tmp_path: Path, lines: list[str], entry: dict[str, Any], message: str
) -> None:
    faults, _, _ = latent_tables.problems(config(written(tmp_path, lines), **entry), INDEX)
    assert faults == [message]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (None, "path is not given; give the file that holds the latents (.tsv, .csv, .parquet, .npz), or a block"),
        ("nowhere.tsv", "file 'nowhere.tsv' not found; correct the path"),
        (__file__, "ends in none of .tsv, .csv, .txt, .parquet, .npz; save the table as one of these"),
    ],
)
def test_a_file_that_cannot_be_a_table_is_refused(path: str | None, message: str) -> None:
    faults, _, _ = latent_tables.problems(config(path), INDEX)
    assert len(faults) == 1 and faults[0].startswith("train.models 'given': ") and faults[0].endswith(message)


def test_parquet_and_npz_are_left_to_the_jobs(tmp_path: Path) -> None:
    (tmp_path / "v.npz").write_bytes(b"")
    assert latent_tables.problems(config(tmp_path / "v.npz"), INDEX) == (
        [], ["v.npz: its columns and rows are checked by the first job that reads it"], {}
    )  # fmt: skip


def test_yes_and_no_may_be_written_bare_and_keys_of_networks_are_refused() -> None:
    assert validated({"name": "a", "kind": "table", "seen": True})["seen"] == "yes"
    assert validated({"name": "a", "kind": "table", "seen": False})["seen"] == "no"
    plain = validated({"name": "a", "kind": "table"})
    assert (plain["seen"], plain["n_latent"], plain["standardise"]) == ("unknown", None, True) and "flip" not in plain
    with pytest.raises(InputError, match="train.models.0: a table has no 'flip'"):
        validated({"name": "a", "kind": "table", "flip": False})
    with pytest.raises(
        InputError, match="train.models.0: a vae has no 'path' .it belongs to table, pretrained, frozen.; leave it out"
    ):
        validated({"name": "a", "kind": "vae", "path": "v.tsv"})


def models(*listed: dict[str, Any], sided: bool = False) -> dict[str, dict[str, Any]]:
    train = {"models": [validated(one) for one in listed], "folds": [0], "search": {"model": None, "space": {}}}
    return entries.models(train, {"folds": {"n": 5}, "scores": [{"name": "s", "lateralised": sided}]})


def test_a_table_has_a_pca_of_the_scans_beside_it() -> None:
    table = {"name": "t", "kind": "table", "path": "v.tsv"}
    found = models(table, {"name": "v", "kind": "vae", "network": "dense"})
    assert list(found) == ["t", "v", "pca-16"]
    assert pcas.baselines(found, {"model": None}) == {"t": ["pca-16"], "v": ["pca-16"]}
    assert entries.without_decoder(found, []) == ["t"]
    assert list(models({**table, "n_latent": 3})) == ["t", "pca-3"]
    alone = models(table, sided=True)
    assert list(alone) == ["t", "pca-16-unmirrored"] and alone["pca-16-unmirrored"]["capped"]
    assert '"path"' not in entries.model_flags(found)["t"] and '"seen": "unknown"' in entries.model_flags(found)["t"]


def test_no_number_of_latents_is_for_tables_alone_and_a_table_can_be_interpreted() -> None:
    with pytest.raises(
        InputError, match="train.models 'v': n_latent is null, which table and pretrained alone may have"
    ):
        models({"name": "v", "kind": "vae", "n_latent": None})
    section = {"models": ["t"], "quantiles": [0.1, 0.9], "path": [], "steps": [1], "atlas": "builtin"}
    assert interpret_problems(section, ["t", "pca-16"]) == []  # its maps are those of the forward model


@pytest.mark.parametrize("name", ["X", "index"])
def test_row_numbers_and_demographics_are_no_latents(tmp_path: Path, name: str) -> None:
    lines = rows(f"participant_id\ta\t{name}\tSex\tvisit")
    numbered = [lines[0], *("\t".join([*line.split("\t")[:2], str(k), "1", "2"]) for k, line in enumerate(lines[1:]))]
    faults, notes, sizes = latent_tables.problems(config(written(tmp_path, numbered)), INDEX)
    assert (faults, sizes) == ([], {"given": 1})
    assert notes == [
        f"v.tsv: column '{name}' is left out: row numbers",
        "v.tsv: column 'Sex' is left out: by its name no latent",
        "v.tsv: column 'visit' is left out: by its name no latent",
    ]


@pytest.mark.parametrize("start", ["\ufeff", "\n", "sep=\t\n"])
def test_person_is_a_key_however_the_file_begins(tmp_path: Path, start: str) -> None:
    lines = rows("person\ta\tb\tc")
    path = written(tmp_path, [start + lines[0], *lines[1:]])
    assert latent_tables.problems(config(path), INDEX)[0] == []


@pytest.mark.parametrize("ending", ["parquet", "npz", "tsv"])
def test_scores_are_no_latents_in_files_that_jobs_read(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A score among the columns would be predicted from itself; the names are found without reading the rows."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(30, 3)), columns=["emb_0", "emb_1", "Motor"]).assign(participant_id=PEOPLE)
    path = tmp_path / f"v.{ending}"
    if ending == "npz":
        np.savez(path, **{name: frame[name].to_numpy() for name in frame})
    elif ending == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, sep="\t", index=False)
        monkeypatch.setattr(latent_tables, "LARGE", 0)
    expected = "v.{}: column 'motor' is a score or confound of the cohort, too; name the latents alone in columns"
    assert latent_tables.problems(config(path), INDEX)[0] == [expected.format(ending)]
    assert latent_tables.problems(config(path, columns="emb_*"), INDEX)[0] == []
