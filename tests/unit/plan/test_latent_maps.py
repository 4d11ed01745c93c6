"""Entries with `latents: map` before the first job: their defaults, their number of latents, what is refused."""

from typing import Any

import pytest

from neurovae.errors import InputError
from neurovae.estimator import layout
from neurovae.plan import baselines as pcas
from neurovae.plan import config, entries, latent_maps, search_space

SCHEMA = config.load_schema()
TRAIN = {"type": "object", "properties": {"train": SCHEMA["properties"]["train"]}}


def train(*models: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The train section with its defaults; the models are called a, b, ..."""
    named = [{"name": name, "kind": "vae", **model} for name, model in zip("abc", models, strict=False)]
    found: dict[str, Any] = config.validate({"train": {"models": named, **more}}, TRAIN)["train"]
    return found


def test_the_number_of_latents_follows_from_the_grid() -> None:
    many = {"latents": "map", "map_mm": 16, "map_channels": 2, "n_global": 3}
    sized = latent_maps.sized(train({"latents": "map"}, many, {"n_latent": 8}), 4)
    assert [entry["n_latent"] for entry in sized["models"]] == [121, 2 * 674 + 3, 8]
    assert latent_maps.sized(sized, 4) == sized
    assert {key: sized["models"][0][key] for key in ("linear", "mosaic", "dropout", "epochs", "patience")} == {
        "linear": "none", "mosaic": 1, "dropout": 0, "epochs": 100, "patience": 100,
    }  # fmt: skip
    assert sized["models"][2]["linear"] == "localised" and sized["models"][2]["mosaic"] == 0


def test_its_pca_has_as_many_components_as_there_can_be() -> None:
    cohort: dict[str, Any] = {"folds": {"n": 5, "validation": 0.125}, "scores": []}
    sized = latent_maps.sized(train({"latents": "map"}), 4)
    found = entries.models(sized, cohort)
    assert found["pca-121"]["capped"] and pcas.baselines(found, sized["search"]) == {"a": ["pca-121"]}
    assert entries.impossible({"cohort": cohort, "train": sized}, found, 24) == []  # more latents than people
    assert latent_maps.atlases(found, "x") == {
        "a": ["results/x/interpret/atlas.nii.gz", "results/x/interpret/atlas.tsv"], "pca-121": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"n_latent": 16},
            "n_latent is 16, but a map has one latent per channel and point .* 121 in all; leave n_latent",
        ),
        ({"linear": "pca"}, "linear is pca, which latents: map cannot have; leave it out, or set latents: vector"),
        ({"linear": "localised"}, "linear is localised, which latents: map cannot have"),
        ({"rotate": "varimax"}, "rotate is varimax, which latents: map cannot have"),
    ],
)
def test_what_a_map_excludes_is_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"train.models 'a': {message}"):
        latent_maps.sized(train({"latents": "map", **more}), 4)


def test_a_search_does_not_choose_the_number_of_latents_of_a_map() -> None:
    space = {"beta": {"low": 0.1, "high": 10, "log": True}}
    searched = train({"latents": "map"}, search={"model": "a", "space": {**space, "n_latent": [8, 16]}})
    with pytest.raises(InputError, match=r"train.search.space.n_latent: 'a' has a map of latents"):
        latent_maps.sized(searched, 4)
    sized = latent_maps.sized(train({"latents": "map"}, search={"model": "a", "space": space}), 4)
    whole = {"cohort": {"folds": {"n": 5, "validation": 0.125}}, "train": sized}
    assert search_space.problems(whole, SCHEMA, 24) == []


def test_keys_of_a_map_have_no_effect_on_a_vector() -> None:
    vector, of_map = train({"map_mm": 16, "n_global": 2}, {"latents": "map", "map_mm": 16, "n_global": 2})["models"]
    keys = search_space.keys(SCHEMA)
    assert entries.without_effect(vector, keys) == ["map_mm", "n_global"]
    assert entries.without_effect(of_map, keys) == []


def test_a_kind_without_maps_refuses_one() -> None:
    with pytest.raises(InputError, match=r"a pca has no 'latents'"):
        train({"kind": "pca", "latents": "map"})


def test_the_estimator_leaves_the_number_to_the_grid() -> None:
    assert layout.entry("vae", 16, {"latents": "map"}, brain=False)["n_latent"] is None
