"""neurovae: from brain scans and scores to latents, associations and a report. Stages in data-flow order."""

from snakemake.utils import min_version

min_version("9.0")


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"


rule all:
    input:
        expand("results/{cohort}/cohort/cohort.parquet", cohort=COHORT),
        expand("results/{cohort}/cohort/excluded.tsv", cohort=COHORT),
        expand("results/{cohort}/preprocess/qc.parquet", cohort=COHORT),
        expand("results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/health.json", cohort=COHORT, model=MODELS, fold=FOLDS, seed=SEEDS),
        expand("results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latents.parquet", cohort=COHORT, model=MODELS, fold=FOLDS, seed=SEEDS),
        expand("results/{cohort}/associate/associations.tsv", cohort=COHORT),
        expand("results/{cohort}/report/summary.txt", cohort=COHORT),


include: "workflow/rules/cohort.smk"
include: "workflow/rules/preprocess.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/latents.smk"
include: "workflow/rules/associate.smk"
include: "workflow/rules/interpret.smk"
include: "workflow/rules/report.smk"
