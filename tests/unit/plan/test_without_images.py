"""A cohort without images: the rows of the participants table, what the configuration may not ask for, and its folds."""

from pathlib import Path
from typing import Any

import pytest

from neurovae.cohort import rows as rule
from neurovae.cohort.check import check
from neurovae.errors import InputError
from neurovae.io.parquet import read_parquet
from neurovae.plan import baselines as pcas
from neurovae.plan import entries, graph, index, without_images
from neurovae.plan.config import load_schema, validate

PEOPLE = [f"sub-{k:02d}" for k in range(1, 13)]


def written(path: Path, header: str, lines: list[str]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *lines]) + "\n")
    return str(path)


def section(participants: str, **more: Any) -> dict[str, Any]:
    whole = {"cohort": {"name": "x", "participants": participants, **more}, "train": {"models": []}}
    del whole["train"]
    return dict(validate(whole, load_schema())["cohort"])


def people(folder: Path, score: str = "age") -> str:
    return written(folder / "p.tsv", f"participant_id\t{score}", [f"{one}\t{k}" for k, one in enumerate(PEOPLE)])


def test_a_row_per_person(tmp_path: Path) -> None:
    cohort = section(people(tmp_path), scores=[{"name": "age", "type": "continuous"}])
    found = index.look(cohort)
    assert (found.problems, found.excluded, check(cohort, found)) == ([], [], [])
    assert [(scan.scan, scan.person, scan.session, scan.path) for scan in found.scans] == [
        (one, one, "", "") for one in PEOPLE
    ]
    assert not index.has_images(cohort) and index.data_root(cohort) == {"participants": cohort["participants"]}
    assert all(index.has_images({name: "a"}) for name in index.SOURCES) and index.has_images({})


def test_a_row_per_person_and_session(tmp_path: Path) -> None:
    lines = [f"{one}\t{visit}\t{k + visit}" for k, one in enumerate(PEOPLE) for visit in (2, 10)]
    found = index.look(section(written(tmp_path / "p.tsv", "participant_id\tsession_id\tage", lines)))
    assert found.problems == [] and len(found.scans) == 24
    assert [scan.scan for scan in found.scans[:2]] == ["sub-01_ses-10", "sub-01_ses-2"]
    assert [found.order[scan.scan] for scan in found.scans[:2]] == [2, 1]  # by their numbers, as in the table
    mixed = written(tmp_path / "p.tsv", "participant_id\tsession_id\tage", [*lines[:5], "sub-12\tn/a\t3"])
    assert index.look(section(mixed)).problems == [
        "p.tsv, row 7: session_id is empty, but other rows have one; give the session, or leave the row out"
    ]


def test_a_bids_folder_with_sessions(tmp_path: Path) -> None:
    written(tmp_path / "participants.tsv", "participant_id\tsex", [f"{one}\tF" for one in PEOPLE])
    lines = [f"{one}\t{visit}\t{visit}" for one in [*PEOPLE[1:], "sub-77"] for visit in (1, 2)]
    written(tmp_path / "sessions.tsv", "participant_id\tsession_id\tage", lines)
    written(tmp_path / "phenotype/moca.tsv", "participant_id\tmoca", [f"{one}\t25" for one in PEOPLE])
    scores = [{"name": name, "type": "continuous"} for name in ("age", "moca")]
    found = index.look(section(str(tmp_path), scores=scores))
    assert found.problems == [] and {scan.person for scan in found.scans} == set(PEOPLE[1:]) and len(found.scans) == 22
    assert found.excluded == [
        ("sub-77_ses-1", "sub-77", "no row in participants.tsv"),
        ("sub-77_ses-2", "sub-77", "no row in participants.tsv"),
        (None, "sub-01", "participants.tsv, row 2: no session in sessions.tsv or sub-*/sub-*_sessions.tsv"),
    ]


def rewritten(folder: Path, cohort: dict[str, Any], override: str | None = None) -> tuple[bytes, Any]:
    out, qc = folder / "v.parquet", folder / "qc.parquet"
    cohort = graph.fold_section({**cohort, "folds": cohort["folds"]})
    rule.run(cohort=cohort, override=Path(override) if override else None, rows=out, qc=qc)
    return out.read_bytes(), read_parquet(qc)


def test_the_rows_hold_no_score_and_leave_out_who_is_excluded_by_hand(tmp_path: Path) -> None:
    cohort = section(people(tmp_path), scores=[{"name": "age", "type": "continuous"}])
    before, quality = rewritten(tmp_path, cohort)
    written(tmp_path / "p.tsv", "participant_id\tage", [f"{one}\t{-k}" for k, one in enumerate(PEOPLE)])
    assert rewritten(tmp_path, cohort)[0] == before and not quality["excluded"].any()
    table = written(tmp_path / "o.tsv", "scan\tkeep\treason", ["sub-03\tno\twithdrew", "sub-04\tyes\tchecked"])
    _, quality = rewritten(tmp_path, cohort, table)
    left = read_parquet(tmp_path / "v.parquet")
    assert list(left["scan"]) == [one for one in PEOPLE if one != "sub-03"]
    assert set(left) == {"scan", "person", "session", "acquisition", "run", "preproc_sha256"}  # as `pack` writes them
    assert list(quality.loc[quality["excluded"], "reason"]) == ["by hand: withdrew"]
    with pytest.raises(InputError, match="all 12 rows are excluded"):
        rewritten(tmp_path, cohort, written(tmp_path / "o.tsv", "scan\tkeep\treason", [f"{p}\tno\tx" for p in PEOPLE]))


def models(participants: str, *listed: dict[str, Any]) -> entries.Entries:
    whole = {"cohort": {"name": "x", "participants": participants}, "train": {"models": list(listed)}}
    checked = validate(whole, load_schema())
    return entries.models(checked["train"], checked["cohort"])


def test_tables_alone_are_allowed_and_are_compared_with_one_another() -> None:
    one, two, three = ({"name": name, "kind": "table", "path": "v.tsv"} for name in ("one", "two", "three"))
    found = models("p.tsv", one, two, three)
    assert list(found) == ["one", "two", "three"]  # no PCA of scans that do not exist
    baselines = pcas.baselines(found, {"model": None, "space": {}})
    assert pcas.compared(found, baselines, "two") == {"two": ["one", "three"], "one": ["three"], "three": []}
    with pytest.raises(InputError) as caught:
        models("p.tsv", one, {"name": "v", "kind": "vae"})
    assert caught.value.problems == [
        "train.models 'v': a vae needs images, and the cohort has none (cohort.participants alone); give bids, files, table "
        "in cohort, or set kind: table"
    ]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"masks": "m/{person}.nii"}, "cohort.masks: belongs to cohort.files; leave it out of a cohort without images"),
        ({"space": "MNI"}, "cohort.space: belongs to cohort.files; leave it out of a cohort without images"),
        (
            {"participants": "nowhere.tsv"},
            "nowhere.tsv: table not found (nowhere.tsv); give the table or correct the path",
        ),
        ({"session": "9"}, "cohort.session: nobody has a session '9'; there are none (12) (people); correct it"),
        ({"bids": "b"}, "cohort.participants: belongs to cohort.files; leave it out with cohort.bids"),
    ],
)
def test_what_belongs_to_images_is_refused(tmp_path: Path, more: dict[str, Any], message: str) -> None:
    assert message in index.look(section(**{"participants": people(tmp_path), **more})).problems


def test_a_confound_of_the_preprocessing_is_refused_and_sections_without_effect_are_named(tmp_path: Path) -> None:
    confound = {"name": "head_size", "type": "continuous", "from": "preprocess"}
    whole = validate({"cohort": {"name": "x", "participants": "p.tsv", "confounds": [confound]},
                      "train": {"models": [{"name": "t", "kind": "table"}]}}, load_schema())  # fmt: skip
    assert graph.names_and_files(whole)[0] == (
        "cohort.confounds: 'head_size' is from: preprocess, but the cohort has no images; leave it out, or take it from a "
        "column of the participants table"
    )
    assert without_images.notes({"preprocess": {"voxel_mm": 4}, "audit": {}}) == [
        "preprocess: has no effect, since the cohort has no images; leave it out"
    ]
    assert without_images.notes({"preprocess": {"qc": {"override": "o.tsv"}}}) == []
