"""neurovae: from brain scans and scores to latents, associations and a report. Stages in data-flow order."""

from snakemake.utils import min_version

min_version("9.0")


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"


rule all:
    input:
        expand("results/{cohort}/report/summary.txt", cohort=COHORT),
        expand("results/{cohort}/report/quality.png", cohort=COHORT),
        expand("results/{cohort}/report/{model}_{fit}_losses.png", cohort=COHORT, model=TRAINED, fit=FIT),
        expand("results/{cohort}/report/{model}_{fit}_reconstructions.png", cohort=COHORT, model=MODELS, fit=FIT),
        expand("results/{cohort}/report/{model}_{fit}_scores.png", cohort=COHORT, model=MODELS, fit=FIT),


include: "workflow/rules/cohort.smk"
include: "workflow/rules/preprocess.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/latents.smk"
include: "workflow/rules/associate.smk"
include: "workflow/rules/report.smk"
