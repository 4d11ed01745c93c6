# Latents and scores -> tidy tables: GLM, spline, cross-validated prediction, and all of them in one.
rule glm:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        latents="results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latents.parquet",
        health="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/health.json",
    output:
        table="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/glm.parquet",
        tsv="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/glm.tsv",
    log:
        "results/{cohort}/logs/associate/glm-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/associate/glm-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/associate.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        flags=SCORES,
        code=CODE["associate.glm"],
        env=ENV["associate"],
    shell:
        "python -m neurovae.associate.glm --cohort {input.cohort} --qc {input.qc} --latents {input.latents} "
        "--health {input.health} --out {output.table} {params.flags} 2>&1 | tee {log}"


rule spline:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        latents="results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latents.parquet",
        health="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/health.json",
    output:
        table="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/spline.parquet",
        tsv="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/spline.tsv",
        curves="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/curves.parquet",
    log:
        "results/{cohort}/logs/associate/spline-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/associate/spline-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/associate.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        flags=SCORES,
        code=CODE["associate.spline"],
        env=ENV["associate"],
    shell:
        "python -m neurovae.associate.spline --cohort {input.cohort} --qc {input.qc} --latents {input.latents} "
        "--health {input.health} --out {output.table} --curves {output.curves} {params.flags} 2>&1 | tee {log}"


rule predict:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        latents=expand("results/{{cohort}}/latents/{{model}}/fold-{fold}_seed-{{seed}}/latents.parquet", fold=FOLDS),
        health=expand("results/{{cohort}}/train/{{model}}/fold-{fold}_seed-{{seed}}/health.json", fold=FOLDS),
    output:
        table="results/{cohort}/associate/{model}/seed-{seed}/predict.parquet",
        tsv="results/{cohort}/associate/{model}/seed-{seed}/predict.tsv",
        predictions="results/{cohort}/associate/{model}/seed-{seed}/predictions.parquet",
    log:
        "results/{cohort}/logs/associate/predict-{model}-seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/associate/predict-{model}-seed-{seed}.tsv"
    conda:
        "../../envs/associate.yaml"
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        flags=SCORES,
        predict=graph.flags(config["associate"]["predict"]),
        code=CODE["associate.predict"],
        env=ENV["associate"],
    shell:
        "python -m neurovae.associate.predict --cohort {input.cohort} --qc {input.qc} "
        "--latents \"[$(echo {input.latents} | tr ' ' ',')]\" --health \"[$(echo {input.health} | tr ' ' ',')]\" "
        "--out {output.table} --predictions {output.predictions} {params.flags} {params.predict} 2>&1 | tee {log}"


rule associate:
    input:
        glm=expand(
            "results/{{cohort}}/associate/{model}/fold-{fold}_seed-{seed}/glm.parquet",
            model=MODELS,
            fold=FOLDS,
            seed=SEEDS,
        ),
        spline=expand(
            "results/{{cohort}}/associate/{model}/fold-{fold}_seed-{seed}/spline.parquet",
            model=MODELS,
            fold=FOLDS,
            seed=SEEDS,
        ),
        predict=expand("results/{{cohort}}/associate/{model}/seed-{seed}/predict.parquet", model=MODELS, seed=SEEDS),
    output:
        associations=report(
            "results/{cohort}/associate/associations.tsv",
            caption="../report/associations.rst",
            category="Associations",
        ),
        predictions=report(
            "results/{cohort}/associate/predictions.tsv", caption="../report/predictions.rst", category="Predictions"
        ),
    log:
        "results/{cohort}/logs/associate/summary.log",
    benchmark:
        "results/{cohort}/benchmarks/associate/summary.tsv"
    conda:
        "../../envs/associate.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        flags=graph.flags({"models": MODELS, "folds": FOLDS, "seeds": SEEDS}),
        code=CODE["associate.summary"],
        env=ENV["associate"],
    shell:
        "python -m neurovae.associate.summary --folder results/{wildcards.cohort}/associate "
        "--out {output.associations} --predictions {output.predictions} {params.flags} 2>&1 | tee {log}"
