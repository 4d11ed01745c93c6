"""cohort.family: whole families share a fold and a part in every model."""

from collections import Counter

from bids_tree import ids, plant

from neurovae.cohort import check, family, folds, table
from neurovae.plan import index


def cohort(tmp_path, labels: dict[str, str], people: int = 24) -> dict:
    text = "participant_id\tage\tsite\tkin\n" + "".join(
        f"{person}\t{30 + turn}\t{'AB'[turn % 2]}\t{labels.get(person, 'n/a')}\n"
        for turn, person in enumerate(ids(people))
    )
    section = plant(tmp_path / "bids", ids(people), table=text)
    section["folds"] = section["folds"] | {"validation": 0.2}
    return section | {"site": "site", "family": "kin"}


def dealt(section: dict, tmp_path) -> dict[str, dict[str, str]]:
    folds.run(cohort=section, out=tmp_path / "folds.tsv")
    lines = [line.split("\t") for line in (tmp_path / "folds.tsv").read_text().splitlines()]
    return {line[0]: dict(zip(lines[0], line, strict=True)) for line in lines[1:]}


def test_relatives_share_fold_and_part_and_folds_stay_even(tmp_path):
    labels = {person: f"f{turn // 2 % 9}" for turn, person in enumerate(ids(18))}  # nine pairs, six others
    section = cohort(tmp_path, labels)
    assert not check.check(section | {"scores": [], "confounds": []})
    rows = dealt(section, tmp_path)
    assert list(rows) == ids(24)
    for column in ("fold", "split_0", "split_1", "split_2"):
        assert all(rows[a][column] == rows[b][column] for a, b in zip(ids(18)[::2], ids(18)[1::2], strict=True))
    sizes = Counter(row["fold"] for row in rows.values())
    assert max(sizes.values()) - min(sizes.values()) <= 2
    built = table.build(section, index.look(section), {person: int(row["fold"]) for person, row in rows.items()})
    assert built["family"].tolist() == [labels.get(person, person) for person in ids(24)]


def test_without_relatives_nobody_moves(tmp_path):
    section = cohort(tmp_path, {})
    alone = dealt(section, tmp_path)
    assert alone == dealt(section | {"family": None}, tmp_path)
    found = index.look(section)
    assert index.digest(found.scans) == index.digest(index.look(section | {"family": None}).scans)
    with_kin = cohort(tmp_path, {"sub-0000": "a", "sub-0001": "a"})
    assert index.digest(index.look(with_kin).scans) != index.digest(found.scans)


def test_a_new_relative_gets_the_fold_of_the_family():
    kin = {"a": "f", "b": "f", "c": "g", "d": "g", "e": "e"}
    assert family.join_families({"b": 2, "c": 1, "d": 0, "e": 2}, {"a": 0}, kin) == {"b": 0, "c": 1, "d": 1, "e": 2}


def test_two_families_of_one_person_and_a_family_over_sites_are_refused(tmp_path):
    scans = index.look(cohort(tmp_path, {"sub-0000": "f", "sub-0001": "f"})).scans
    assert family.problems(scans, "person") == []
    (problem,) = family.problems(scans, "site")
    assert "family f has people at sites A, B" in problem
    twice = [*scans, scans[0]._replace(scan="x", family="h")]
    assert family.problems(twice, "person") == ["cohort.family: sub-0000 has several, f, h; give each person one"]
