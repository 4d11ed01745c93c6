# Latents and ages -> brain age: predicted ages, their gaps, and the gaps against the scores.
if AGED:

    rule brain_age:
        input:
            cohort="results/{cohort}/cohort/cohort.parquet",
            qc="results/{cohort}/preprocess/qc.parquet",
            reference=REFERENCE_FILE,
            latents=expand(
                "results/{{cohort}}/latents/{{model}}/fold-{fold}_seed-{seed}/latents.parquet", fold=FOLDS, seed=SEEDS[0]
            ),
            index=expand(
                "results/{{cohort}}/latents/{{model}}/fold-{fold}_seed-{seed}/latent_index.parquet",
                fold=FOLDS,
                seed=SEEDS[0],
            ),
            health=expand(
                "results/{{cohort}}/train/{{model}}/fold-{fold}_seed-{seed}/health.json", fold=FOLDS, seed=SEEDS[0]
            ),
            weights=expand(
                "results/{{cohort}}/train/{{model}}/fold-{fold}_seed-{seed}/weights.safetensors",
                fold=FOLDS,
                seed=SEEDS[0],
            ),
        output:
            ages="results/{cohort}/norm/{model}/brain_age.parquet",
            ages_tsv="results/{cohort}/norm/{model}/brain_age.tsv",
            metrics="results/{cohort}/norm/{model}/brain_age_metrics.parquet",
            metrics_tsv=report(
                "results/{cohort}/norm/{model}/brain_age_metrics.tsv",
                caption="../report/brain_age_metrics.rst",
                category="Norm",
            ),
            groups="results/{cohort}/norm/{model}/brain_age_groups.parquet",
            groups_tsv="results/{cohort}/norm/{model}/brain_age_groups.tsv",
            tests="results/{cohort}/norm/{model}/brain_age_tests.parquet",
            tests_tsv=report(
                "results/{cohort}/norm/{model}/brain_age_tests.tsv",
                caption="../report/brain_age_tests.rst",
                category="Norm",
            ),
        log:
            "results/{cohort}/logs/norm/brain_age-{model}.log",
        benchmark:
            "results/{cohort}/benchmarks/norm/brain_age-{model}.tsv"
        conda:
            "../../envs/predict.yaml"
        resources:
            mem_mb=2000,
            runtime=60,
        params:
            flags=SCORES,
            predict=graph.flags({key: config["predict"][key] for key in ("inner", "harmonise", "new_site")}),
            norm=graph.flags({key: config["norm"][key] for key in ("age", "bootstraps", "permutations", "seed")}),
            freeze=FREEZE,
            code=CODE["norm.brain_age"],
            env=ENV["predict"],
        shell:
            "python -m neurovae.norm.brain_age --cohort {input.cohort} --qc {input.qc} --reference '{input.reference}' "
            "--latents \"[$(echo {input.latents} | tr ' ' ',')]\" --index \"[$(echo {input.index} | tr ' ' ',')]\" --health \"[$(echo {input.health} | tr ' ' ',')]\" --weights \"[$(echo {input.weights} | tr ' ' ',')]\" "
            "--ages {output.ages} --metrics {output.metrics} --groups {output.groups} --tests {output.tests} "
            "{params.flags} {params.predict} {params.norm} {params.freeze} > {log} 2>&1"
