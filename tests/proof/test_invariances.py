"""The harness for invariances, short: three changes at once of all tests and of the linear learner, forms of tables.

`make invariances` has all changes, one by one, with every learner.
"""

import inference as half
import invariances as changes
import invariances_latents as given_back
import invariances_tables as forms
import pytest


@pytest.fixture(scope="module")
def small() -> tuple[half.World, changes.Tables]:
    world = half.world()
    world = half.changed(
        world, scores=[one for one in world.scores if one["name"] in ("motor", "rate", "ill", "stage")]
    )
    return world, half.inference(world, ("linear",))


def test_what_must_not_matter(small) -> None:
    world, base = small
    moved, in_unit = changes.CHANGES["scores times 1e-09"](world, base)
    moved, of_latents = changes.CHANGES["latents times 1e+09"](moved, base)
    moved, _ = changes.CHANGES["names of people, sites, levels"](moved, base)
    assert in_unit and of_latents

    def expected(table, column, values, after):
        return of_latents(table, column, in_unit(table, column, values, after), after)

    assert half.differing(base, half.inference(moved, ("linear",)), expected, changes.ROUNDING) == []


def test_what_must_matter(small) -> None:
    world, base = small
    after = half.inference(changes.one_score_changed(world), ("linear",))
    assert changes.matters(base, after, ("motor",)) == []
    assert half.differing(base, after)


@pytest.mark.parametrize("name", forms.FORMS)
def test_the_form_of_a_table_does_not_matter(name: str, tmp_path) -> None:
    assert forms.apart(half.world(), tmp_path, name) == []


def test_a_wrong_value_in_one_cell_is_seen(tmp_path, monkeypatch) -> None:
    wrong = {"wrong": lambda path, text: forms.plain(path, text.replace("\t40.", "\t41.", 1))}
    monkeypatch.setattr(forms, "FORMS", wrong)
    assert forms.apart(half.world(), tmp_path, "wrong") != []


@pytest.mark.parametrize("kind", given_back.KINDS)
def test_a_models_own_latents_as_a_table_give_its_own_tables(kind: str, small, tmp_path) -> None:
    world, _ = small
    few = half.changed(world, scores=[one for one in world.scores if one["name"] == "ill"])
    own, given = given_back.worlds(few, tmp_path, kind)
    assert len(own.latents) == len(few.cohort) and list(own.latents) == list(given.latents)
    assert own.latents["mu_000"].std() > 0.1
    found = half.inference(own, ("linear",))
    assert half.differing(found, half.inference(given, ("linear",)), rounding=1e-9) == []
