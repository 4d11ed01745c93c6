# What every stage shares: the checked configuration, the scans by batch, fingerprints, and the shell's surroundings.
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

# beside this file, wherever the Snakefile stands that uses it as a module
SOURCE = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).resolve().parents[1] / "src"
sys.path.insert(0, str(SOURCE))

from neurovae.cohort import check, warn
from neurovae.errors import InputError
from neurovae.plan import block_confounds as confounds_plan
from neurovae.plan import blocks as blocks_plan
from neurovae.plan import config as configuration
from neurovae.plan import baselines, derivatives, display, encoder_cards, entries, external, frozen, fused, graph, index
from neurovae.plan import (
    kinds,
    latent_maps,
    latent_tables,
    norm,
    search_flags,
    search_space,
    source_models,
    start_models,
)
from neurovae.plan import supervised, user_tables, visit_times, without_images

display.attach(workflow)

try:
    configuration.refuse_repeats(workflow.configfiles)
    SCHEMA = configuration.load_schema()
    config.update(configuration.validate(graph.with_cohort(config), SCHEMA, GIVEN_CONFIG))
    graph.refuse(graph.paths(config))
    graph.same_source(config["cohort"])
    FOUND = index.look(config["cohort"])
    IMAGES = index.has_images(config["cohort"])  # without them, the participants table alone is the cohort
    PEOPLE = len(index.people(FOUND.scans))
    graph.refuse(supervised.problems(config))
    config["train"], SUPERVISED = supervised.apart(
        config["train"], config["cohort"]
    )  # from here on the models are unsupervised
    config["train"] = latent_maps.sized(config["train"], config["preprocess"]["voxel_mm"])
    config["train"] = external.with_entry(config)
    config["train"], source_notes = source_models.sized(config)
    graph.refuse(fused.problems(config["train"], config["cohort"], IMAGES))
    config["train"] = fused.sized(config["train"])
    config["train"] = blocks_plan.with_tangent(config["train"], config["cohort"])
    ENTRIES = entries.models(config["train"], config["cohort"])
    BLOCKS = blocks_plan.look(config["cohort"], FOUND, config["train"]["models"])
    graph.refuse(confounds_plan.problems(config["cohort"]))
    MEASURES = confounds_plan.measures(config["cohort"], BLOCKS.moving)
    config["cohort"] = confounds_plan.with_motion(config["cohort"], BLOCKS.moving)
    faults, notes = user_tables.problems(config, FOUND)
    ill_given, given_notes, GIVEN_COLUMNS = latent_tables.problems(config, FOUND)
    ill_cards, card_notes, CARDS = encoder_cards.problems(config)
    other_scores, external_notes = external.problems(config, FOUND)
    no_times, time_notes = visit_times.problems(config, list(ENTRIES), FOUND)
    ill_norm, norm_notes = norm.problems(config, FOUND, list(ENTRIES))
    misplaced, doubtful = derivatives.check(config, [(scan.path, scan.mask) for scan in FOUND.scans if IMAGES])
    graph.refuse(
        check.check(config["cohort"], FOUND)
        + faults
        + ill_given
        + ill_cards
        + BLOCKS.problems
        + misplaced
        + other_scores
        + no_times
        + ill_norm
        + graph.names_and_files(config)
        + entries.impossible(config, ENTRIES, PEOPLE)
        + graph.interpret_problems(config["interpret"], list(ENTRIES))
        + search_space.problems(config, SCHEMA, PEOPLE)
    )
    more_notes = (
        card_notes
        + source_notes
        + external_notes
        + time_notes
        + norm_notes
        + ([] if IMAGES else without_images.notes(GIVEN_CONFIG))
    )
    warn.print_warnings(config["cohort"], FOUND, notes + given_notes + BLOCKS.notes + doubtful + more_notes)
    entries.warn(ENTRIES, search_space.keys(SCHEMA))
    FOLDS, SEEDS = config["train"]["folds"], config["train"]["seeds"]
    FITS = [f"fold-{fold}_seed-{seed}" for fold in FOLDS for seed in SEEDS]
    graph.refuse(frozen.problems(config["cohort"], ENTRIES, FITS))
    BATCHES = index.batches(FOUND.scans if IMAGES else [], config["preprocess"]["batches"])
    LISTS = graph.lists(BATCHES)
    SOURCES = graph.sources(BATCHES, bool(config["cohort"]["simulate"]))
    TABLES = graph.contents(FOUND.files, bool(config["cohort"]["simulate"]))
    GIVEN = latent_tables.inputs(config, ENTRIES)  # the file of latents that a model of kind table reads
    SOURCE_MODELS = source_models.inputs(ENTRIES)  # the files of another cohort's model that a model is, or starts from
    SOURCE_MODEL_BYTES = {name: graph.contents(paths, False) for name, paths in SOURCE_MODELS.items()}
    GIVEN_BYTES = {name: graph.contents(paths, False) for name, paths in GIVEN.items()}
    GIVEN |= encoder_cards.embeddings(
        CARDS, config["cohort"]["name"]
    )  # and what rule encode writes for a pretrained one
    GIVEN |= blocks_plan.inputs(config)  # or a block
    GIVEN |= fused.inputs(ENTRIES, config["cohort"])  # or several
except InputError as error:
    raise WorkflowError(f"\n{error}") from None

COHORT = config["cohort"]["name"]
PATHS = graph.images(BATCHES)
MODELS = list(ENTRIES)
DECODED = [
    name
    for name in MODELS
    if name not in entries.without_decoder(ENTRIES, encoder_cards.decoders(CARDS))
    and name not in fused.without_image(ENTRIES, config["cohort"])
]  # those with a decoder; others have maps only
TRAINED = [name for name, entry in ENTRIES.items() if entry["kind"] in kinds.PERIODS]  # those that have epochs
FIT = f"fold-{FOLDS[0]}_seed-{SEEDS[0]}"  # the one that the report draws
INFERRED = [f"fold-{FOLDS[0]}_seed-{seed}" for seed in SEEDS]  # inference is on one model, and its other seeds
PRIMARY = config["associate"]["primary"] or config["train"]["models"][0]["name"]
BASELINES = baselines.baselines(ENTRIES, config["train"]["search"])
COMPARED = baselines.compared(ENTRIES, BASELINES, PRIMARY)
PACKED = ["volumes.npy", "mask.nii.gz", "duplicates.tsv"] if IMAGES else []  # what training reads of images
INTERPRETED = config["interpret"]["models"] or [PRIMARY, *BASELINES.get(PRIMARY, [])]
MAPS_OF = [name for name in INTERPRETED if IMAGES and name not in fused.without_image(ENTRIES, config["cohort"])]
TWINS = fused.twins(ENTRIES)  # the linear models beside each fused model
TWIN_WEIGHTS = {
    name: {fit: [f"results/{COHORT}/train/{twin}/{fit}/weights.safetensors" for twin in twins] for fit in FITS}
    for name, twins in TWINS.items()
}
TWIN_FLAGS = {name: graph.flags({"names": [name, *twins]}) for name, twins in TWINS.items()}
BLOCK_MAPS = fused.drawn(ENTRIES, config["cohort"])  # the blocks of each fused model that are no images
FUSED_FITS = [] if config["cohort"]["freeze"] else FITS
SHOWN_DECODED = [name for name in INTERPRETED if name in DECODED]
MANY = {name: (entry["n_latent"] or 0) > config["interpret"]["traversals"] for name, entry in ENTRIES.items()}
ATLAS = graph.atlas(config["interpret"])
PCAS = [name for name, entry in ENTRIES.items() if baselines.is_baseline(entry)]
GIVEN_COLUMNS |= {name: card["output"]["size"] for name, card in CARDS.items()}
ENCODERS = encoder_cards.inputs(config, CARDS)
ENCODER_FLAGS = {name: graph.flags({"encoder": paths[0]}) for name, paths in ENCODERS.items()}
ENCODER_DIGESTS = {name: encoder_cards.digest(card) for name, card in CARDS.items()}
LARGEST = max(kinds.tested(entry, GIVEN_COLUMNS.get(name, 1)) for name, entry in ENTRIES.items())
VOLUMES = [config["audit"]["volumes"]] if config["audit"]["volumes"] else []
MAPPED = [name for name, entry in ENTRIES.items() if latent_maps.is_map(entry)]
ATLASES = latent_maps.atlases(ENTRIES, COHORT) | {name: [] for name in SUPERVISED}
ATLAS_FLAGS = {name: graph.flags({"atlas": paths[0] if paths else None}) for name, paths in ATLASES.items()}
BLOCK_FILES = BLOCKS.files
BLOCK_FLAGS = blocks_plan.flags(config["cohort"], BLOCKS.entries)
BLOCK_BYTES = {name: blocks_plan.sizes(paths) for name, paths in BLOCK_FILES.items()}
TABLE_BLOCKS = [name for name, entry in BLOCKS.entries.items() if entry["type"] == "table"]
SERIES_BLOCKS = [name for name in BLOCKS.entries if name not in TABLE_BLOCKS]
MEASURED = sorted({block for block, _ in MEASURES.values()})  # functional blocks with measures in the cohort's table
MEASURE_FLAGS = graph.flags({"measures": MEASURES, "blocks": f"results/{COHORT}/blocks"}) if MEASURES else ""
NETWORKS = [name for name, entry in ENTRIES.items() if entry["kind"] == "networks"]
NETWORK_TEMPLATE = [config["interpret"]["network_template"]] if config["interpret"]["network_template"] else []
NETWORK_FLAGS = {
    name: graph.flags(
        {"block": BLOCKS.entries[ENTRIES[name]["block"]], "template": config["interpret"]["network_template"]}
    )
    for name in NETWORKS
}
CODE = graph.codes()
ENV = graph.environments()
EXTERNAL = external.settings(config["cohort"])  # another cohort's export, on whose findings these people are tested
VALIDATED = [external.NAME] if EXTERNAL else []
REFERENCE_FILE = "results/{cohort}/cohort/reference.tsv" if config["cohort"]["reference_group"] else []
FOLDS_FILE = "results/{cohort}/cohort/folds.tsv"  # of training; with a reference group, its people alone are trained on
FOLDS_FILE = "results/{cohort}/cohort/reference_folds.tsv" if REFERENCE_FILE else FOLDS_FILE
NORMED = (config["norm"]["models"] or [PRIMARY]) if config["norm"]["age"] else []
AGED = NORMED if config["norm"]["brain_age"] else []
DEVIATIONS = NORMED if config["norm"]["deviation"] else []
PEOPLE = config["norm"]["people"] if IMAGES else []  # who have a page of their own
FREEZE = graph.flags({"freeze": True}) if config["cohort"]["freeze"] else ""
MODEL_FLAGS = entries.model_flags({**ENTRIES, **SUPERVISED})
GIVEN |= {name: [] for name in SUPERVISED}
GIVEN_BYTES |= {name: graph.contents([], False) for name in SUPERVISED}
SOURCE_MODELS |= {name: [] for name in SUPERVISED}
SOURCE_MODEL_BYTES |= {name: graph.contents([], False) for name in SUPERVISED}
GIVEN_FLAGS = entries.table_flags(GIVEN, config["cohort"])
GIVEN_FLAGS |= {
    name: graph.flags({"blocks": found}) for name, found in fused.folders(ENTRIES, config["cohort"]).items()
}
SOURCE_MODEL_FLAGS = source_models.flags({**ENTRIES, **SUPERVISED})
STARTED = [] if config["cohort"]["freeze"] else start_models.names(ENTRIES)  # models that start from another cohort's
START_VARIANTS = [name for name in ENTRIES if name in STARTED or ENTRIES[name].get("variant_of") in STARTED]
START_TABLES = [COHORT] if STARTED else []
START_CODE = entries.all_codes({name: ENTRIES[name] for name in START_VARIANTS}, "train.start_from")
BLOCKS_CODE = entries.all_codes(
    {name: ENTRIES[name] for name in ENTRIES if ENTRIES[name]["kind"] in kinds.SEVERAL}, "train.explain_blocks"
)
BLOCK_MAPS_CODE = entries.all_codes({name: ENTRIES[name] for name in BLOCK_MAPS}, "interpret.block_maps")
TRAIN_CODE = entries.model_codes({**ENTRIES, **SUPERVISED}, "train.fit")
HEALTH_CODE = entries.model_codes(ENTRIES, "train.health.health")
JUDGED = entries.verdict_flags(ENTRIES, config["train"])
SOUGHT = search_flags.searched(config["train"])
SEARCHED = {name: name in SOUGHT for name in {**ENTRIES, **SUPERVISED}}
TRIALS = range(config["train"]["search"]["trials"])
TRIAL_FLAGS = search_flags.trial_flags(config["train"])
CHOOSE_FLAGS = search_flags.choose_flags(config["train"])
SEARCHES = search_flags.figure_settings(config["train"])
LAUNCH = entries.launch(config["train"]["processes"])
STABILITY_CODE = entries.model_codes(ENTRIES, "audit.stability")
LATENTS_CODE = entries.model_codes({**ENTRIES, **SUPERVISED}, "latents")
DEVIATION_CODE = entries.model_codes(ENTRIES, "norm.deviation")
DECODED_CODE = {
    name: entries.model_codes(ENTRIES, f"{stage}.{name}")
    for stage, names in {
        "interpret": ("traverse", "maps", "samples", "counterfactual"),
        "trajectory": ("forecast", "yearly"),
    }.items()
    for name in names
}
PLOT_CODE = {name: entries.all_codes(ENTRIES, f"report.plots.{name}") for name in ("train", "interpret")}
SURVIVAL = [score["name"] for score in config["cohort"]["scores"] if score["type"] == "survival"]
SCORES = graph.flags({key: config["cohort"][key] for key in ("scores", "confounds")})
IMPUTATIONS = config["cohort"]["imputations"] if config["cohort"]["missing_confounds"] == "impute" else 0
TESTED = (
    f"{SCORES} {graph.flags({'imputations': IMPUTATIONS})}"  # of the rules that impute missing confounds, or say so
)
CODES = graph.flags({"codes": {key: config["cohort"][key] for key in ("missing", "not_missing")}})
READS_SCORES = {name: name in SUPERVISED for name in MODEL_FLAGS}
SCORE_FLAGS = {
    name: graph.flags({"cohort": supervised.section(entry, config["cohort"])}) for name, entry in SUPERVISED.items()
}
SCORE_DIGESTS = {name: supervised.digest(entry, config["cohort"], FOUND) for name, entry in SUPERVISED.items()}
EVERY_FOLD = list(range(config["cohort"]["folds"]["n"]))  # supervised models are fitted in each
ALIGNED, JOINT = (supervised.of_kind(SUPERVISED, kind) for kind in supervised.KINDS)
NETWORK_TESTS = [config["supervised"][f"network_{name}"] for name in ("permutations", "splits")]
SUPERVISED_MAPS = (  # of the primary model's scores, with which patterns are compared
    f"results/{COHORT}/interpret/{PRIMARY}/{FIT}/maps" if PRIMARY in MAPS_OF else []
)
REFITTED = {name: any(NETWORK_TESTS) and supervised.is_network(SUPERVISED[name]) for name in ALIGNED}
ALIGNED_TABLES = [COHORT] if ALIGNED else []
RELATIVES = {
    name: {
        score: supervised.relatives(score, config["cohort"]["scores"]) for score in SUPERVISED[name]["supervised_by"]
    }
    for name in JOINT
}
RELATIVES_FLAGS = {name: graph.flags({"relatives": found}) for name, found in RELATIVES.items()}
COMPARED_LATENTS = [  # of the primary model, beside a joint one: one model for all folds, or one per fold
    f"results/{COHORT}/latents/{PRIMARY}/fold-{fold}_seed-{SEEDS[0]}/latents.parquet" for fold in FOLDS
]
REFERENCE = graph.reference(config["preprocess"]["normalise"])
PREPROCESS = graph.preprocess(config["preprocess"], config["cohort"]["suffix"])
SIMULATED = [scan.person for scan in FOUND.scans if not scan.session] if config["cohort"]["simulate"] else []
SIMULATED_VISITS = graph.simulated_visits(config["cohort"], FOUND)
FOLLOWED = config["trajectory"]["models"]  # models whose latents are followed over time
FOLLOWED_DECODED = [name for name in FOLLOWED if name in DECODED and IMAGES]
FOLLOWED_IN = [COHORT] if FOLLOWED else []


wildcard_constraints:
    cohort=COHORT,
    model=r"[A-Za-z0-9._-]+",
    batch=r"\d{4}",
    fold=r"\d+",
    seed=r"\d+",
    trial=r"\d+",


shell.prefix(
    f"set -euo pipefail; export PYTHONPATH='{SOURCE}' PYTHONNOUSERSITE=1 PYTHONUTF8=1 PYTHONUNBUFFERED=1 MPLBACKEND=agg "
    "OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1 OMP_WAIT_POLICY=passive CUBLAS_WORKSPACE_CONFIG=:4096:8; "
    "python -c 'import importlib.util as u, sys; sys.exit(u.find_spec(\"jsonargparse\") is None)' || "
    "{{ echo 'this python lacks the packages of the rule: run `. .venv/bin/activate` first, or add --use-conda'; exit 1; }}; "
)
