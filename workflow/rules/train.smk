# Volumes and folds -> weights and history: one job per model, fold and seed; then a verdict. Where a model is searched,
# its trials and the choice among them come first, per fold. No file read here contains a score, but for models that
# declare it (supervised.smk): they read a file of their own. With cohort.freeze none
# of these rules exists: the files in results/<cohort>/train are used as they are.
rule trial:
    input:
        volumes=branch(IMAGES, then="results/{cohort}/preprocess/volumes.npy", otherwise=[]),
        rows="results/{cohort}/preprocess/volumes.parquet",
        mask=branch(IMAGES, then="results/{cohort}/preprocess/mask.nii.gz", otherwise=[]),
        duplicates=branch(IMAGES, then="results/{cohort}/preprocess/duplicates.tsv", otherwise=[]),
        folds=FOLDS_FILE,
    output:
        "results/{cohort}/train/{model}/fold-{fold}_search/trial-{trial}.json",
    log:
        "results/{cohort}/logs/train/trial-{model}-fold-{fold}_trial-{trial}.log",
    benchmark:
        "results/{cohort}/benchmarks/train/trial-{model}-fold-{fold}_trial-{trial}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=1440,
        device=config["train"]["device"],
    params:
        flags=lookup(dpath="{model}", within=TRIAL_FLAGS),
        code=CODE["train.search.trial"],
        env=ENV["train"],
    shell:
        "python -m neurovae.train.search.trial --volumes '{input.volumes}' --rows {input.rows} --mask '{input.mask}' --folds {input.folds} "
        "--state results/{wildcards.cohort}/train/.state/search/{wildcards.model}/fold-{wildcards.fold} --out {output} "
        "--code {params.code}-{params.env} --fold {wildcards.fold} --trial {wildcards.trial} --device {resources.device} "
        "{params.flags} > {log} 2>&1"


rule choose:
    input:
        expand("results/{{cohort}}/train/{{model}}/fold-{{fold}}_search/trial-{trial}.json", trial=TRIALS),
    output:
        chosen="results/{cohort}/train/{model}/fold-{fold}_search/chosen.json",
        table="results/{cohort}/train/{model}/fold-{fold}_search/trials.tsv",
        entry="results/{cohort}/train/{model}/fold-{fold}_search/chosen.yaml",
    log:
        "results/{cohort}/logs/train/choose-{model}-fold-{fold}.log",
    benchmark:
        "results/{cohort}/benchmarks/train/choose-{model}-fold-{fold}.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        flags=lookup(dpath="{model}", within=CHOOSE_FLAGS),
        code=CODE["train.search.choose"],
        env=ENV["train"],
    shell:
        "python -m neurovae.train.search.choose --folder results/{wildcards.cohort}/train/{wildcards.model}/fold-{wildcards.fold}_search "
        "--name {wildcards.model} --fold {wildcards.fold} --out {output.chosen} --table {output.table} --written {output.entry} {params.flags} > {log} 2>&1"


rule train:
    input:
        volumes=branch(IMAGES, then="results/{cohort}/preprocess/volumes.npy", otherwise=[]),
        rows="results/{cohort}/preprocess/volumes.parquet",
        mask=branch(IMAGES, then="results/{cohort}/preprocess/mask.nii.gz", otherwise=[]),
        duplicates=branch(IMAGES, then="results/{cohort}/preprocess/duplicates.tsv", otherwise=[]),
        folds=FOLDS_FILE,
        chosen=branch(
            lookup(dpath="{model}", within=SEARCHED),
            then="results/{cohort}/train/{model}/fold-{fold}_search/chosen.json",
            otherwise=[],
        ),
        given=lookup(dpath="{model}", within=GIVEN),
        source=lookup(dpath="{model}", within=SOURCE_MODELS),
        scores=branch(
            lookup(dpath="{model}", within=READS_SCORES),
            then="results/{cohort}/supervised/{model}/training_scores/fold-{fold}.parquet",
            otherwise=[],
        ),
    output:
        weights="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/weights.safetensors",
        history="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/history.parquet",
    log:
        "results/{cohort}/logs/train/{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/train/{model}-fold-{fold}_seed-{seed}.tsv"
    priority: 1  # before the baselines on voxels, which need no model
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
        given=lookup(dpath="{model}", within=GIVEN_FLAGS),
        contents=lookup(dpath="{model}", within=GIVEN_BYTES),
        source=lookup(dpath="{model}", within=SOURCE_MODEL_FLAGS),
        source_contents=lookup(dpath="{model}", within=SOURCE_MODEL_BYTES),
        code=lookup(dpath="{model}", within=TRAIN_CODE),
        env=ENV["train"],
    shell:
        "{resources.launch} neurovae.train.fit --volumes '{input.volumes}' --rows {input.rows} --mask '{input.mask}' --folds {input.folds} "
        "--out {output.weights} --history {output.history} --state results/{wildcards.cohort}/train/.state/{wildcards.model} --code {params.code}-{params.env} "
        "--chosen '{input.chosen}' --scores '{input.scores}' --fold {wildcards.fold} --seed {wildcards.seed} --device {resources.device} {params.flags} {params.given} {params.source} > {log} 2>&1"


rule health:
    input:
        volumes=branch(IMAGES, then="results/{cohort}/preprocess/volumes.npy", otherwise=[]),
        rows="results/{cohort}/preprocess/volumes.parquet",
        mask=branch(IMAGES, then="results/{cohort}/preprocess/mask.nii.gz", otherwise=[]),
        weights="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/weights.safetensors",
        history="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/history.parquet",
        given=lookup(dpath="{model}", within=GIVEN),
    output:
        health="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/health.json",
    log:
        "results/{cohort}/logs/train/health-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/train/health-{model}-fold-{fold}_seed-{seed}.tsv"
    priority: 1
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        flags=lookup(dpath="{model}", within=JUDGED),
        given=lookup(dpath="{model}", within=GIVEN_FLAGS),
        contents=lookup(dpath="{model}", within=GIVEN_BYTES),
        code=lookup(dpath="{model}", within=HEALTH_CODE),
        env=ENV["train"],
    shell:
        "python -m neurovae.train.health.health --volumes '{input.volumes}' --rows {input.rows} --mask '{input.mask}' --model {input.weights} "
        "--history {input.history} --out {output.health} --seed {wildcards.seed} "
        "{params.flags} {params.given} > {log} 2>&1"


rule start_from:
    input:
        volumes="results/{cohort}/preprocess/volumes.npy",
        rows="results/{cohort}/preprocess/volumes.parquet",
        mask="results/{cohort}/preprocess/mask.nii.gz",
        weights=expand("results/{{cohort}}/train/{model}/{fit}/weights.safetensors", model=START_VARIANTS, fit=FITS),
    output:
        "results/{cohort}/train/start_from.tsv",
    log:
        "results/{cohort}/logs/train/start_from.log",
    benchmark:
        "results/{cohort}/benchmarks/train/start_from.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        flags=graph.flags({"models": STARTED, "fits": FITS}),
        code=START_CODE,
        env=ENV["train"],
    shell:
        "python -m neurovae.train.start_from --volumes {input.volumes} --rows {input.rows} --mask {input.mask} "
        "--train results/{wildcards.cohort}/train --out {output} {params.flags} > {log} 2>&1"
