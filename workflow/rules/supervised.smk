# The supervised track: per fold a file of the declared scores and confounds without the test people, which rule train
# reads for models of this track alone; then tests, predictions and patterns in the test people of all folds.
rule training_scores:
    input:
        folds="results/{cohort}/cohort/folds.tsv",
        simulated=FOUND.files if config["cohort"]["simulate"] else [],
        qc=branch(supervised.quality(config["cohort"]), then="results/{cohort}/preprocess/qc.parquet", otherwise=[]),
    output:
        "results/{cohort}/supervised/{model}/training_scores/fold-{fold}.parquet",
    log:
        "results/{cohort}/logs/supervised/training_scores-{model}-fold-{fold}.log",
    benchmark:
        "results/{cohort}/benchmarks/supervised/training_scores-{model}-fold-{fold}.tsv"
    conda:
        "../../envs/predict.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        flags=lookup(dpath="{model}", within=SCORE_FLAGS),
        values=lookup(dpath="{model}", within=SCORE_DIGESTS),
        code=CODE["supervised.training_scores"],
        env=ENV["predict"],
    shell:
        "python -m neurovae.supervised.training_scores --folds {input.folds} --fold {wildcards.fold} --qc '{input.qc}' "
        "--out {output} {params.flags} > {log} 2>&1"


rule aligned_refits:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        volumes="results/{cohort}/preprocess/volumes.npy",
        rows="results/{cohort}/preprocess/volumes.parquet",
        mask="results/{cohort}/preprocess/mask.nii.gz",
        scores=expand("results/{{cohort}}/supervised/{{model}}/training_scores/fold-{fold}.parquet", fold=EVERY_FOLD),
        latents=expand(
            "results/{{cohort}}/latents/{{model}}/fold-{fold}_seed-{{seed}}/latents.parquet", fold=EVERY_FOLD
        ),
        weights=expand(
            "results/{{cohort}}/train/{{model}}/fold-{fold}_seed-{{seed}}/weights.safetensors", fold=EVERY_FOLD
        ),
    output:
        "results/{cohort}/supervised/{model}/seed-{seed}/refits.parquet",
    log:
        "results/{cohort}/logs/supervised/aligned_refits-{model}-seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/supervised/aligned_refits-{model}-seed-{seed}.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=4000,
        runtime=1440,
    params:
        tests=graph.flags(
            {
                "permutations": config["supervised"]["network_permutations"],
                "splits": config["supervised"]["network_splits"],
                "seed": config["supervised"]["seed"],
            }
        ),
        code=CODE["supervised.refits"],
        env=ENV["train"],
    shell:
        "python -m neurovae.supervised.refits --cohort {input.cohort} --qc {input.qc} --volumes {input.volumes} --rows {input.rows} --mask {input.mask} "
        "--training_scores \"[$(echo {input.scores} | tr ' ' ',')]\" --latents \"[$(echo {input.latents} | tr ' ' ',')]\" --weights \"[$(echo {input.weights} | tr ' ' ',')]\" "
        "--out {output} {params.tests} > {log} 2>&1"


rule aligned:
    input:
        refits=branch(
            lookup(dpath="{model}", within=REFITTED),
            then="results/{cohort}/supervised/{model}/seed-{seed}/refits.parquet",
            otherwise=[],
        ),
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        volumes="results/{cohort}/preprocess/volumes.npy",
        rows="results/{cohort}/preprocess/volumes.parquet",
        mask="results/{cohort}/preprocess/mask.nii.gz",
        scores=expand("results/{{cohort}}/supervised/{{model}}/training_scores/fold-{fold}.parquet", fold=EVERY_FOLD),
        latents=expand(
            "results/{{cohort}}/latents/{{model}}/fold-{fold}_seed-{{seed}}/latents.parquet", fold=EVERY_FOLD
        ),
        index=expand(
            "results/{{cohort}}/latents/{{model}}/fold-{fold}_seed-{{seed}}/latent_index.parquet", fold=EVERY_FOLD
        ),
        weights=expand(
            "results/{{cohort}}/train/{{model}}/fold-{fold}_seed-{{seed}}/weights.safetensors", fold=EVERY_FOLD
        ),
    output:
        tests="results/{cohort}/supervised/{model}/seed-{seed}/tests.parquet",
        tests_tsv="results/{cohort}/supervised/{model}/seed-{seed}/tests.tsv",
        folds="results/{cohort}/supervised/{model}/seed-{seed}/folds.parquet",
        folds_tsv="results/{cohort}/supervised/{model}/seed-{seed}/folds.tsv",
        predictions="results/{cohort}/supervised/{model}/seed-{seed}/predictions.parquet",
        predictions_tsv="results/{cohort}/supervised/{model}/seed-{seed}/predictions.tsv",
        mean="results/{cohort}/supervised/{model}/seed-{seed}/pattern_mean.nii.gz",
        sd="results/{cohort}/supervised/{model}/seed-{seed}/pattern_sd.nii.gz",
    log:
        "results/{cohort}/logs/supervised/aligned-{model}-seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/supervised/aligned-{model}-seed-{seed}.tsv"
    conda:
        "../../envs/predict.yaml"
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        flags=SCORES,
        tests=graph.flags({key: config["supervised"][key] for key in ("permutations", "splits", "bootstraps", "seed")}),
        fold=FOLDS[0],
        code=CODE["supervised.aligned"],
        env=ENV["predict"],
    shell:
        "python -m neurovae.supervised.aligned --cohort {input.cohort} --qc {input.qc} --volumes {input.volumes} --rows {input.rows} --mask {input.mask} "
        "--training_scores \"[$(echo {input.scores} | tr ' ' ',')]\" --latents \"[$(echo {input.latents} | tr ' ' ',')]\" --weights \"[$(echo {input.weights} | tr ' ' ',')]\" "
        "--tests {output.tests} --folds {output.folds} --predictions {output.predictions} --mean {output.mean} --sd {output.sd} "
        "--fold {params.fold} --refits '{input.refits}' {params.flags} {params.tests} > {log} 2>&1"


rule supervised:
    input:
        tests=expand("results/{{cohort}}/supervised/{model}/seed-{seed}/tests.parquet", model=ALIGNED, seed=SEEDS[:1]),
        patterns=expand(
            "results/{{cohort}}/supervised/{model}/seed-{seed}/pattern_mean.nii.gz", model=ALIGNED, seed=SEEDS[:1]
        ),
        mask="results/{cohort}/preprocess/mask.nii.gz",
        maps=SUPERVISED_MAPS,
        predictions="results/{cohort}/predict/predictions.tsv",
    output:
        table=report(
            "results/{cohort}/supervised/tests.tsv", caption="../report/supervised.rst", category="Supervised models"
        ),
    log:
        "results/{cohort}/logs/supervised/tests.log",
    benchmark:
        "results/{cohort}/benchmarks/supervised/tests.tsv"
    conda:
        "../../envs/predict.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        flags=graph.flags({"primary": PRIMARY}),
        code=CODE["supervised.summary"],
        env=ENV["predict"],
    shell:
        "python -m neurovae.supervised.summary --tests \"[$(echo {input.tests} | tr ' ' ',')]\" --predictions {input.predictions} "
        "--patterns \"[$(echo {input.patterns} | tr ' ' ',')]\" --mask {input.mask} --maps '{input.maps}' "
        "--out {output.table} {params.flags} > {log} 2>&1"


rule plot_supervised:
    input:
        expand(
            "results/{{cohort}}/supervised/{model}/seed-{seed}/{file}",
            model=ALIGNED,
            seed=SEEDS[:1],
            file=["tests.parquet", "predictions.parquet", "pattern_mean.nii.gz", "pattern_sd.nii.gz"],
        ),
        "results/{cohort}/preprocess/volumes.npy",
        "results/{cohort}/preprocess/volumes.parquet",
        "results/{cohort}/preprocess/mask.nii.gz",
    output:
        report(
            expand("results/{{cohort}}/report/{model}_seed-{seed}_supervised.png", model=ALIGNED, seed=SEEDS[:1]),
            caption="../report/supervised.rst",
            category="Supervised models",
        ),
    log:
        "results/{cohort}/logs/report/plot_supervised.log",
    benchmark:
        "results/{cohort}/benchmarks/report/plot_supervised.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        flags=graph.flags({"models": ALIGNED, "seed": SEEDS[0]}),
        code=CODE["report.plots.supervised"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.plots.supervised --results results/{wildcards.cohort} {params.flags} > {log} 2>&1"
