"""neurovae: from brain scans and scores to latents, associations and a report. Stages in data-flow order."""

from copy import deepcopy

from snakemake.utils import min_version

min_version("9.0")

GIVEN_CONFIG = deepcopy(config)  # what the user gives, before the defaults join it


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"


rule all:
    input:
        expand("results/{cohort}/cohort/cohort.parquet", cohort=COHORT),
        expand("results/{cohort}/preprocess/qc.parquet", cohort=COHORT),
        expand("results/{cohort}/preprocess/{file}", cohort=COHORT, file=PACKED),
        expand("results/{cohort}/blocks/{block}/values.npy", cohort=COHORT, block=BLOCK_FILES),
        expand("results/{cohort}/train/{model}/{fit}/weights.safetensors", cohort=COHORT, model=MODELS, fit=FITS),
        expand("results/{cohort}/train/start_from.tsv", cohort=START_TABLES),
        expand("results/{cohort}/train/{model}/{fit}/blocks.parquet", cohort=COHORT, model=list(TWINS), fit=FUSED_FITS),
        expand("results/{cohort}/latents/{model}/{fit}/latents.parquet", cohort=COHORT, model=MODELS, fit=FITS),
        expand(
            "results/{cohort}/associate/{model}/{fit}/{table}.parquet",
            cohort=COHORT,
            model=MODELS,
            fit=INFERRED,
            table=["glm", "omnibus", "multivariable", "mixed"],
        ),
        expand("results/{cohort}/audit/{model}/{fit}/caveats.parquet", cohort=COHORT, model=MODELS, fit=INFERRED),
        expand("results/{cohort}/findings/associations.tsv", cohort=COHORT),
        expand("results/{cohort}/findings/omnibus.tsv", cohort=COHORT),
        expand("results/{cohort}/predict/predictions.tsv", cohort=COHORT),
        expand("results/{cohort}/predict/comparisons.tsv", cohort=COHORT),
        expand("results/{cohort}/audit/power.tsv", cohort=COHORT),
        expand("results/{cohort}/audit/dimension.tsv", cohort=COHORT),
        expand(
            "results/{cohort}/interpret/{model}/{fit}/traversals.parquet", cohort=COHORT, model=SHOWN_DECODED, fit=FIT
        ),
        expand("results/{cohort}/interpret/{model}/{fit}/maps.parquet", cohort=COHORT, model=MAPS_OF, fit=INFERRED),
        expand("results/{cohort}/interpret/{model}/{fit}/jacobian.tsv", cohort=COHORT, model=SHOWN_DECODED, fit=FIT),
        expand("results/{cohort}/interpret/{model}/{fit}/realism.parquet", cohort=COHORT, model=SHOWN_DECODED, fit=FIT),
        expand(
            "results/{cohort}/interpret/{model}/{fit}/counterfactuals.parquet",
            cohort=COHORT,
            model=SHOWN_DECODED,
            fit=FIT,
        ),
        expand("results/{cohort}/interpret/{model}/{fit}/networks.parquet", cohort=COHORT, model=NETWORKS, fit=FIT),
        expand("results/{cohort}/interpret/{model}/{fit}/block_maps.parquet", cohort=COHORT, model=BLOCK_MAPS, fit=FIT),
        expand("results/{cohort}/trajectory/change.tsv", cohort=FOLLOWED_IN),
        expand("results/{cohort}/{stage}/replication.tsv", cohort=COHORT, stage=VALIDATED),
        expand("results/{cohort}/{stage}/transfer.tsv", cohort=COHORT, stage=VALIDATED),
        expand("results/{cohort}/norm/{model}/brain_age.parquet", cohort=COHORT, model=AGED),
        expand("results/{cohort}/norm/{model}/deviation.parquet", cohort=COHORT, model=DEVIATIONS),
        expand("results/{cohort}/supervised/tests.tsv", cohort=ALIGNED_TABLES),
        expand("results/{cohort}/supervised/{model}/seed-{seed}/scores.tsv", cohort=COHORT, model=JOINT, seed=SEEDS[:1]),
        expand("results/{cohort}/report/summary.txt", cohort=COHORT),
        expand("results/{cohort}/report/report.html", cohort=COHORT),
        expand("results/{cohort}/report/verdict.txt", cohort=COHORT),


include: "workflow/rules/cohort.smk"


if IMAGES:

    include: "workflow/rules/preprocess.smk"

else:

    include: "workflow/rules/rows.smk"


include: "workflow/rules/blocks.smk"


if CARDS:

    include: "workflow/rules/encode.smk"


if not config["cohort"]["freeze"]:

    include: "workflow/rules/train.smk"

    if TWINS:

        include: "workflow/rules/fused.smk"


include: "workflow/rules/latents.smk"
include: "workflow/rules/associate.smk"
include: "workflow/rules/predict.smk"


if FOLLOWED:

    include: "workflow/rules/trajectory.smk"


if SUPERVISED:

    include: "workflow/rules/supervised.smk"

    if JOINT:

        include: "workflow/rules/joint.smk"


if EXTERNAL:

    include: "workflow/rules/external.smk"


if NORMED:

    include: "workflow/rules/norm.smk"


include: "workflow/rules/audit.smk"
include: "workflow/rules/findings.smk"
include: "workflow/rules/interpret.smk"


if NETWORKS:

    include: "workflow/rules/networks.smk"


include: "workflow/rules/plots.smk"
include: "workflow/rules/report.smk"


onsuccess:
    display.finish(COHORT)
