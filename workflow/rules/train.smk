# Volumes -> weights, history, health: one job per model, fold and seed. No file that is read here contains a score.
rule train:
    input:
        volumes="results/{cohort}/preprocess/volumes.npy",
        rows="results/{cohort}/preprocess/volumes.parquet",
        mask="results/{cohort}/preprocess/mask.nii.gz",
        folds="results/{cohort}/cohort/folds.tsv",
    output:
        weights="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/weights.safetensors",
        history="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/history.parquet",
        health="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/health.json",
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
    params:
        flags=lookup(dpath="{model}", within=MODEL_FLAGS),
        code=lookup(dpath="{model}", within=TRAIN_CODE),
        env=ENV["train"],
    shell:
        "python -m neurovae.train.fit --volumes {input.volumes} --rows {input.rows} --mask {input.mask} --folds {input.folds} "
        "--out {output.weights} --history {output.history} --checkup {output.health} "
        "--fold {wildcards.fold} --seed {wildcards.seed} --device {resources.device} {params.flags} 2>&1 | tee {log}"
