# Another cohort's model and its inference, on these participants: do associations and predictions hold here?
rule external:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        latents=f"results/{{cohort}}/latents/{external.NAME}/{FIT}/latents.parquet",
        own=expand(
            "results/{{cohort}}/latents/{model}/fold-{fold}_seed-{seed}/latents.parquet",
            model=PRIMARY,
            fold=FOLDS,
            seed=SEEDS[0],
        ),
        index=expand(
            "results/{{cohort}}/latents/{model}/fold-{fold}_seed-{seed}/latent_index.parquet",
            model=PRIMARY,
            fold=FOLDS,
            seed=SEEDS[0],
        ),
        inference=f"{EXTERNAL['path']}/inference.json",
    output:
        replicated="results/{cohort}/external/replication.parquet",
        replicated_tsv=report(
            "results/{cohort}/external/replication.tsv",
            caption="../report/replication.rst",
            category="External validation",
        ),
        transferred="results/{cohort}/external/transfer.parquet",
        transferred_tsv=report(
            "results/{cohort}/external/transfer.tsv", caption="../report/transfer.rst", category="External validation"
        ),
        predictions="results/{cohort}/external/predictions.parquet",
        predictions_tsv="results/{cohort}/external/predictions.tsv",
    log:
        "results/{cohort}/logs/external/external.log",
    benchmark:
        "results/{cohort}/benchmarks/external/external.tsv"
    conda:
        "../../envs/predict.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        flags=SCORES,
        mapping=graph.flags({"mapping": EXTERNAL["scores"]}),
        predict=graph.flags(
            {key: config["predict"][key] for key in ("inner", "bootstraps", "harmonise", "new_site", "seed")}
        ),
        contents=graph.contents([f"{EXTERNAL['path']}/inference.json"], False),
        code=CODE["external.external"],
        env=ENV["predict"],
    shell:
        "python -m neurovae.external.external --cohort {input.cohort} --qc {input.qc} --latents {input.latents} "
        "--own \"[$(echo {input.own} | tr ' ' ',')]\" --index \"[$(echo {input.index} | tr ' ' ',')]\" --inference {input.inference:q} --replicated {output.replicated} "
        "--transferred {output.transferred} --predictions {output.predictions} {params.flags} {params.mapping} {params.predict} > {log} 2>&1"


rule plot_external:
    input:
        replication="results/{cohort}/external/replication.parquet",
        transfer="results/{cohort}/external/transfer.parquet",
        predictions="results/{cohort}/external/predictions.parquet",
    output:
        report("results/{cohort}/report/external.png", caption="../report/external.rst", category="External validation"),
    log:
        "results/{cohort}/logs/report/plot_external.log",
    benchmark:
        "results/{cohort}/benchmarks/report/plot_external.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        code=CODE["report.plots.external"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.plots.external --results results/{wildcards.cohort} > {log} 2>&1"
