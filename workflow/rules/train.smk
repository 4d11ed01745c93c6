# Volumes -> weights and history: one job per model, fold and seed; then a verdict. No file read here contains a score.
rule train:
    input:
        volumes="results/{cohort}/preprocess/volumes.npy",
        rows="results/{cohort}/preprocess/volumes.parquet",
        mask="results/{cohort}/preprocess/mask.nii.gz",
        folds="results/{cohort}/cohort/folds.tsv",
        chosen=branch(
            lookup(dpath="{model}", within=SEARCHED),
            then="results/{cohort}/train/{model}/fold-{fold}_search/chosen.json",
            otherwise=[],
        ),
    output:
        weights="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/weights.safetensors",
        history="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/history.parquet",
    log:
        "results/{cohort}/logs/train/{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/train/{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=1440,
        device=config["train"]["device"],
        launch=LAUNCH,
    params:
        flags=lookup(dpath="{model}", within=MODEL_FLAGS),
        code=lookup(dpath="{model}", within=TRAIN_CODE),
        env=ENV["train"],
    shell:
        "python {resources.launch} neurovae.train.fit --volumes {input.volumes} --rows {input.rows} --mask {input.mask} --folds {input.folds} "
        "--out {output.weights} --history {output.history} --state results/{wildcards.cohort}/train/.state/{wildcards.model} --code {params.code} "
        "$(printf -- '--chosen %s' {input.chosen} | grep json) "
        "--fold {wildcards.fold} --seed {wildcards.seed} --device {resources.device} {params.flags} 2>&1 | tee {log}"


rule health:
    input:
        volumes="results/{cohort}/preprocess/volumes.npy",
        rows="results/{cohort}/preprocess/volumes.parquet",
        mask="results/{cohort}/preprocess/mask.nii.gz",
        weights="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/weights.safetensors",
        history="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/history.parquet",
    output:
        health="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/health.json",
        dimensions="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/dimensions.parquet",
    log:
        "results/{cohort}/logs/train/health-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/train/health-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        flags=lookup(dpath="{model}", within=OVERRULED),
        code=lookup(dpath="{model}", within=HEALTH_CODE),
        env=ENV["train"],
    shell:
        "python -m neurovae.train.health --volumes {input.volumes} --rows {input.rows} --mask {input.mask} --model {input.weights} "
        "--history {input.history} --out {output.health} --dimensions {output.dimensions} --seed {wildcards.seed} "
        "{params.flags} 2>&1 | tee {log}"
