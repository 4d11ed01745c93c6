# Latents and scores -> how well each score is told for a new person; everything is fitted on training people.
rule predict:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        latents=expand("results/{{cohort}}/latents/{{model}}/fold-{fold}_seed-{{seed}}/latents.parquet", fold=FOLDS),
        index=expand("results/{{cohort}}/latents/{{model}}/fold-{fold}_seed-{{seed}}/latent_index.parquet", fold=FOLDS),
        health=expand("results/{{cohort}}/train/{{model}}/fold-{fold}_seed-{{seed}}/health.json", fold=FOLDS),
        weights=expand("results/{{cohort}}/train/{{model}}/fold-{fold}_seed-{{seed}}/weights.safetensors", fold=FOLDS),
    output:
        table="results/{cohort}/predict/{model}/seed-{seed}/predict.parquet",
        tsv="results/{cohort}/predict/{model}/seed-{seed}/predict.tsv",
        predictions="results/{cohort}/predict/{model}/seed-{seed}/predictions.parquet",
        importance="results/{cohort}/predict/{model}/seed-{seed}/importance.parquet",
    log:
        "results/{cohort}/logs/predict/predict-{model}-seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/predict/predict-{model}-seed-{seed}.tsv"
    conda:
        "../../envs/predict.yaml"
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        flags=TESTED,
        predict=graph.flags(config["predict"]),
        freeze=FREEZE,
        code=CODE["predict.predict"],
        env=ENV["predict"],
    shell:
        "python -m neurovae.predict.predict --cohort {input.cohort} --qc {input.qc} "
        "--latents \"[$(echo {input.latents} | tr ' ' ',')]\" --index \"[$(echo {input.index} | tr ' ' ',')]\" --health \"[$(echo {input.health} | tr ' ' ',')]\" --weights \"[$(echo {input.weights} | tr ' ' ',')]\" "
        "--out {output.table} --predictions {output.predictions} --importance_table {output.importance} {params.flags} {params.predict} {params.freeze} > {log} 2>&1"


rule voxels:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        volumes="results/{cohort}/preprocess/volumes.npy",
        rows="results/{cohort}/preprocess/volumes.parquet",
        mask="results/{cohort}/preprocess/mask.nii.gz",
    output:
        table="results/{cohort}/predict/voxels/predict.parquet",
        tsv="results/{cohort}/predict/voxels/predict.tsv",
        predictions="results/{cohort}/predict/voxels/predictions.parquet",
    log:
        "results/{cohort}/logs/predict/voxels.log",
    benchmark:
        "results/{cohort}/benchmarks/predict/voxels.tsv"
    conda:
        "../../envs/predict.yaml"
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        flags=TESTED,
        predict=graph.flags(config["predict"], leave=("importance", "harmonise")),
        code=CODE["predict.voxels"],
        env=ENV["predict"],
    shell:
        "python -m neurovae.predict.voxels --cohort {input.cohort} --qc {input.qc} --volumes {input.volumes} --rows {input.rows} --mask {input.mask} "
        "--out {output.table} --predictions {output.predictions} {params.flags} {params.predict} > {log} 2>&1"


rule compare:
    input:
        models=expand("results/{{cohort}}/predict/{model}/seed-{seed}/predictions.parquet", model=MODELS, seed=SEEDS),
        voxels=branch(IMAGES, then="results/{cohort}/predict/voxels/predictions.parquet", otherwise=[]),
        metrics=expand("results/{{cohort}}/predict/{model}/seed-{seed}/predict.parquet", model=MODELS, seed=SEEDS),
        told=branch(IMAGES, then="results/{cohort}/predict/voxels/predict.parquet", otherwise=[]),
    output:
        table=report(
            "results/{cohort}/predict/comparisons.tsv", caption="../report/comparisons.rst", category="Predictions"
        ),
    log:
        "results/{cohort}/logs/predict/compare.log",
    benchmark:
        "results/{cohort}/benchmarks/predict/compare.tsv"
    conda:
        "../../envs/predict.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        flags=graph.flags({"models": MODELS, "seeds": SEEDS, "baselines": COMPARED, "images": IMAGES}),
        code=CODE["predict.compare"],
        env=ENV["predict"],
    shell:
        "python -m neurovae.predict.compare --folder results/{wildcards.cohort}/predict --out {output.table} {params.flags} > {log} 2>&1"


rule predictions:
    input:
        models=expand("results/{{cohort}}/predict/{model}/seed-{seed}/predict.parquet", model=MODELS, seed=SEEDS),
        voxels=branch(IMAGES, then="results/{cohort}/predict/voxels/predict.parquet", otherwise=[]),
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
    output:
        table=report(
            "results/{cohort}/predict/predictions.tsv", caption="../report/predictions.rst", category="Predictions"
        ),
    log:
        "results/{cohort}/logs/predict/summary.log",
    benchmark:
        "results/{cohort}/benchmarks/predict/summary.tsv"
    conda:
        "../../envs/predict.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        flags=graph.flags(
            {"models": MODELS, "seeds": SEEDS, "caveat_days": config["cohort"]["caveat_days"], "images": IMAGES}
        ),
        code=CODE["predict.summary"],
        env=ENV["predict"],
    shell:
        "python -m neurovae.predict.summary --folder results/{wildcards.cohort}/predict --cohort {input.cohort} --qc {input.qc} --out {output.table} {params.flags} > {log} 2>&1"
