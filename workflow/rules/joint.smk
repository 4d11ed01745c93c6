# Joint models of an image and scores: what each predicts of the people left out of each fold, beside other methods.
rule joint:
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
        index=expand(
            "results/{{cohort}}/latents/{{model}}/fold-{fold}_seed-{{seed}}/latent_index.parquet", fold=EVERY_FOLD
        ),
        weights=expand(
            "results/{{cohort}}/train/{{model}}/fold-{fold}_seed-{{seed}}/weights.safetensors", fold=EVERY_FOLD
        ),
        unsupervised=COMPARED_LATENTS,
    output:
        scores="results/{cohort}/supervised/{model}/seed-{seed}/scores.parquet",
        scores_tsv=report(
            "results/{cohort}/supervised/{model}/seed-{seed}/scores.tsv",
            caption="../report/joint.rst",
            category="Supervised models",
        ),
        images="results/{cohort}/supervised/{model}/seed-{seed}/images.parquet",
        images_tsv="results/{cohort}/supervised/{model}/seed-{seed}/images.tsv",
        left="results/{cohort}/supervised/{model}/seed-{seed}/left_out.parquet",
        left_tsv="results/{cohort}/supervised/{model}/seed-{seed}/left_out.tsv",
        blocks="results/{cohort}/supervised/{model}/seed-{seed}/health.parquet",
        blocks_tsv="results/{cohort}/supervised/{model}/seed-{seed}/health.tsv",
        mean="results/{cohort}/supervised/{model}/seed-{seed}/change_mean.nii.gz",
        low="results/{cohort}/supervised/{model}/seed-{seed}/change_low.nii.gz",
        high="results/{cohort}/supervised/{model}/seed-{seed}/change_high.nii.gz",
    log:
        "results/{cohort}/logs/supervised/joint-{model}-seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/supervised/joint-{model}-seed-{seed}.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        flags=lookup(dpath="{model}", within=RELATIVES_FLAGS),
        tests=graph.flags({name: config["supervised"][name] for name in ("bootstraps", "seed")}),
        code=CODE["supervised.joint"],
        env=ENV["train"],
    shell:
        "python -m neurovae.supervised.joint --cohort {input.cohort} --qc {input.qc} --volumes {input.volumes} --rows {input.rows} --mask {input.mask} "
        "--training_scores \"[$(echo {input.scores} | tr ' ' ',')]\" --latents \"[$(echo {input.latents} | tr ' ' ',')]\" --weights \"[$(echo {input.weights} | tr ' ' ',')]\" "
        "--unsupervised \"[$(echo {input.unsupervised} | tr ' ' ',')]\" --scores {output.scores} --images {output.images} --left {output.left} --blocks {output.blocks} "
        "--mean {output.mean} --low {output.low} --high {output.high} {params.flags} {params.tests} > {log} 2>&1"


rule plot_joint:
    input:
        expand(
            "results/{{cohort}}/supervised/{model}/seed-{seed}/{file}",
            model=JOINT,
            seed=SEEDS[:1],
            file=[
                "scores.parquet",
                "left_out.parquet",
                "change_mean.nii.gz",
                "change_low.nii.gz",
                "change_high.nii.gz",
            ],
        ),
        latents=expand(
            "results/{{cohort}}/latents/{model}/fold-{fold}_seed-{seed}/latents.parquet",
            model=JOINT,
            fold=FOLDS[0],
            seed=SEEDS[:1],
        ),
        volumes="results/{cohort}/preprocess/volumes.npy",
        rows="results/{cohort}/preprocess/volumes.parquet",
        mask="results/{cohort}/preprocess/mask.nii.gz",
    output:
        report(
            expand("results/{{cohort}}/report/{model}_seed-{seed}_joint.png", model=JOINT, seed=SEEDS[:1])
            + expand("results/{{cohort}}/report/{model}_seed-{seed}_shared.png", model=JOINT, seed=SEEDS[:1])
            + expand("results/{{cohort}}/report/{model}_seed-{seed}_decoded.png", model=JOINT, seed=SEEDS[:1]),
            caption="../report/joint.rst",
            category="Supervised models",
        ),
    log:
        "results/{cohort}/logs/report/plot_joint.log",
    benchmark:
        "results/{cohort}/benchmarks/report/plot_joint.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        flags=graph.flags({"models": JOINT, "fold": FOLDS[0], "seed": SEEDS[0]}),
        code=CODE["report.plots.joint"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.plots.joint --results results/{wildcards.cohort} {params.flags} > {log} 2>&1"
