"""Checks of the hyperparameter search before the first job; standard library only."""

from typing import Any

from neurovae.plan import beta_schedule

WHOLE = ("batch", "epochs", "n_latent", "warmup", "base_channels")  # keys whose values are whole numbers
NEEDS = {  # key -> (another key of the entry, its values under which the key changes anything)
    "beta": ("divergence", ("kl", "mmd")),
    "warmup": ("divergence", ("kl", "mmd")),
    "free_bits": ("divergence", ("kl", "mmd")),
    "mmd_weight": ("divergence", ("mmd",)),
    "sigma": ("reconstruction", ("gaussian", "both")),
}


def problems(config: dict[str, Any], schema: dict[str, Any], people: int) -> list[str]:
    """List problems of `train.search`; none where no model is named.

    Args:
        config: the configuration, validated.
        schema: of the configuration.
        people: in the cohort.
    """
    train, folds = config["train"], config["cohort"]["folds"]
    search = train["search"]
    if search["model"] is None:
        return []
    key_schemas = keys(schema)
    training = int(people * (1 - 1 / folds["n"]) * (1 - folds["validation"]))  # about so many are left to train on
    entries = {entry["name"]: entry for entry in train["models"]}
    if search["model"] not in entries:
        names = ", ".join(entries)
        return [f"train.search.model: no model {search['model']!r}; train.models has {names}; correct the name"]
    entry = entries[search["model"]]
    if entry["kind"] != "vae":
        problem = f"train.search.model: {entry['name']!r} is of kind {entry['kind']}"
        return [f"{problem}; name a model of kind vae, or set train.search.model: null"]
    space = search["space"]
    key_problems = [line for key in sorted(space) for line in _of_key(key, space[key], entry, key_schemas[key])]
    return key_problems or [
        *_of_size(search, entry, training),
        *_of_warmup(space, entry),
        *_of_objective(search, entry),
    ]


def keys(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of the keys of an entry of train.models, by key."""
    schemas: dict[str, Any] = schema["properties"]["train"]["properties"]["models"]["items"]["properties"]
    return schemas


def lowest(value: Any) -> Any:
    """Return the smallest value that an entry of the space may take."""
    return min(value) if isinstance(value, list) else value["low"]


def highest(value: Any) -> Any:
    """Return the largest value that an entry of the space may take."""
    return max(value) if isinstance(value, list) else value["high"]


def within(value: Any, allowed: Any) -> bool:
    """Whether a value of the model is one that the space may take."""
    if isinstance(allowed, list):
        return value in allowed
    return isinstance(value, int | float) and bool(allowed["low"] <= value <= allowed["high"])


def _of_key(key: str, allowed: Any, entry: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    place = f"train.search.space.{key}"
    if entry["kind"] not in schema.get("kinds", [entry["kind"]]):
        return [f"{place}: a {entry['kind']} has no {key}; leave it out"]
    if key in NEEDS and entry[NEEDS[key][0]] not in NEEDS[key][1]:
        required = NEEDS[key][0]
        return [f"{place}: without effect where {required} is {entry[required]} ({entry['name']!r}); leave it out"]
    if isinstance(allowed, list):
        repeated = [f"{place}: a choice is given twice: {allowed}"] if len(set(allowed)) < len(allowed) else []
        return [*repeated, *(line for value in allowed for line in _of_value(place, value, schema))]
    low, high = allowed["low"], allowed["high"]
    if low >= high:
        return [f"{place}: low is {low}, high is {high}; low must be below high"]
    if allowed.get("log") and low <= 0:
        return [f"{place}: low is {low}; on a log scale it must be above 0"]
    return [line for value in (low, high) for line in _of_value(place, value, schema)]


def _of_value(place: str, value: float, schema: dict[str, Any]) -> list[str]:
    """Check that a searched value is valid for the model's entry."""
    if place.rpartition(".")[2] in WHOLE and not isinstance(value, int):
        return [f"{place}: {value} is no whole number"]
    bounds = {
        "minimum": ("at least", value >= schema.get("minimum", value)),
        "exclusiveMinimum": ("above", value > schema.get("exclusiveMinimum", value - 1)),
        "maximum": ("at most", value <= schema.get("maximum", value)),
        "exclusiveMaximum": ("below", value < schema.get("exclusiveMaximum", value + 1)),
    }
    return [f"{place}: {value} is not {words} {schema[name]}" for name, (words, holds) in bounds.items() if not holds]


def _of_size(search: dict[str, Any], entry: dict[str, Any], training: int) -> list[str]:
    n_latent = search["space"].get("n_latent", [entry["n_latent"]])
    batch = lowest(search["space"].get("batch", [entry["batch"]]))
    problems = []
    if batch < entry["accumulate"]:
        problem_batch = f"train.search.space.batch: {batch} is less than the entry's accumulate, {entry['accumulate']}"
        problems.append(f"{problem_batch}; raise the smallest batch, or lower accumulate")
    if search["min_active"] > lowest(n_latent):
        problem = f"train.search.min_active: {search['min_active']} active units, but only {lowest(n_latent)} latents"
        problems.append(f"{problem}, which the search may try; lower min_active, or raise the smallest latent")
    if entry["linear"] == "pca" and highest(n_latent) >= training:
        problem_size = (
            f"train.search.space.n_latent: {highest(n_latent)}, but only about {training} people are left to train on"
        )
        problems.append(f"{problem_size}; lower it")
    return problems


def _of_warmup(space: dict[str, Any], entry: dict[str, Any]) -> list[str]:
    """Report a trial whose beta never reaches its full value: it would be neither pruned nor stopped."""
    length, epochs = (space.get(key, [entry[key]]) for key in ("warmup", "epochs"))
    if beta_schedule.max_fraction(lowest(epochs), highest(length), entry["cycles"]) == 1:
        return []
    problem = f"train.search.space: a warmup of {highest(length)} epochs in a training of {lowest(epochs)} (cycles "
    return [f"{problem}{entry['cycles']}): beta would never reach its value; lower warmup, or raise epochs"]


def _of_objective(search: dict[str, Any], entry: dict[str, Any]) -> list[str]:
    """The evidence lower bound needs a likelihood, and a posterior variance that the loss constrains."""
    if search["objective"] != "elbo":
        return []
    place, use = "train.search.objective: elbo", "use objective: variance_explained"
    problems = []
    if entry["reconstruction"] != "gaussian":
        problems.append(
            f"{place} needs reconstruction: gaussian, found {entry['reconstruction']} (no likelihood); {use}"
        )
    if entry["divergence"] != "kl":
        unbound = "the posterior variance is not calibrated"
        problems.append(f"{place} needs divergence: kl, found {entry['divergence']} ({unbound}); {use}")
    elif lowest(search["space"].get("beta", [entry["beta"]])) <= 0:
        problems.append(f"{place} needs beta above 0 (at 0 the loss has no KL); raise it, or {use}")
    return problems
