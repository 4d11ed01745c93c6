# Tables and maps -> the report's figures: one job per stage draws all figures of that stage.
rule plot_train:
    input:
        volumes=branch(IMAGES, then="results/{cohort}/preprocess/volumes.npy", otherwise=[]),
        rows="results/{cohort}/preprocess/volumes.parquet",
        mask=branch(IMAGES, then="results/{cohort}/preprocess/mask.nii.gz", otherwise=[]),
        weights=expand("results/{{cohort}}/train/{model}/{fit}/weights.safetensors", model=MODELS, fit=FIT),
        history=expand("results/{{cohort}}/train/{model}/{fit}/history.parquet", model=TRAINED, fit=FIT),
        health=expand("results/{{cohort}}/train/{model}/{fit}/health.json", model=MODELS, fit=FIT),
        index=expand("results/{{cohort}}/latents/{model}/{fit}/latent_index.parquet", model=MODELS, fit=FIT),
        trials=expand("results/{{cohort}}/train/{model}/fold-{fold}_search/trials.tsv", model=SOUGHT, fold=FOLDS),
    output:
        report(
            expand("results/{{cohort}}/report/{model}_{fit}_losses.png", model=TRAINED, fit=FIT),
            caption="../report/losses.rst",
            category="Models",
        ),
        report(
            expand("results/{{cohort}}/report/{model}_{fit}_health.png", model=MODELS, fit=FIT),
            caption="../report/health.rst",
            category="Models",
        ),
        report(
            expand("results/{{cohort}}/report/{model}_{fit}_reconstructions.png", model=DECODED, fit=FIT),
            caption="../report/reconstructions.rst",
            category="Models",
        ),
        report(
            expand("results/{{cohort}}/report/{model}_fold-{fold}_search.png", model=SOUGHT, fold=FOLDS),
            caption="../report/search.rst",
            category="Models",
        ),
        report(
            "results/{cohort}/report/rates.png" if DECODED else [],
            caption="../report/rates.rst",
            category="Models",
        ),
    log:
        "results/{cohort}/logs/report/plot_train.log",
    benchmark:
        "results/{cohort}/benchmarks/report/plot_train.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        flags=graph.flags(
            {
                "models": MODELS,
                "decoded": DECODED,
                "trained": TRAINED,
                "fit": FIT,
                "searches": SEARCHES,
                "folds": FOLDS,
            },
        ),
        code=PLOT_CODE["train"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.plots.train --results results/{wildcards.cohort} {params.flags} > {log} 2>&1"


rule plot_associate:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        latents=expand("results/{{cohort}}/latents/{model}/{fit}/latents.parquet", model=MODELS, fit=FIT),
        tests=expand(
            "results/{{cohort}}/associate/{model}/{fit}/{table}.parquet",
            model=MODELS,
            fit=FIT,
            table=["glm", "permute", "curves", "omnibus", "directions"],
        ),
        index=expand("results/{{cohort}}/latents/{model}/{fit}/latent_index.parquet", model=MAPPED, fit=FIT),
        packed=expand(
            "results/{{cohort}}/preprocess/{file}",
            file=["mask.nii.gz", "volumes.npy", "volumes.parquet"] if MAPPED else [],
        ),
    output:
        report(
            expand("results/{{cohort}}/report/{model}_{fit}_scores.png", model=MODELS, fit=FIT),
            caption="../report/scores.rst",
            category="Associations",
        ),
        report(
            expand("results/{{cohort}}/report/{model}_{fit}_directions.png", model=MODELS, fit=FIT),
            caption="../report/directions.rst",
            category="Associations",
        ),
        report(
            expand("results/{{cohort}}/report/{model}_{fit}_places.png", model=MAPPED, fit=FIT),
            caption="../report/places.rst",
            category="Associations",
        ),
    log:
        "results/{cohort}/logs/report/plot_associate.log",
    benchmark:
        "results/{cohort}/benchmarks/report/plot_associate.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        flags=graph.flags({"models": MODELS, "mapped": MAPPED, "fit": FIT, "most": config["report"]["latents"]}),
        scores=SCORES,
        code=CODE["report.plots.associate"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.plots.associate --results results/{wildcards.cohort} {params.flags} {params.scores} > {log} 2>&1"


rule plot_predict:
    input:
        models=expand(
            "results/{{cohort}}/predict/{model}/seed-{seed}/{table}.parquet",
            model=MODELS,
            seed=SEEDS[:1],
            table=["predictions", "predict", "importance"],
        ),
        whole="results/{cohort}/predict/predictions.tsv",
    output:
        report(
            expand("results/{{cohort}}/report/{model}_seed-{seed}_calibration.png", model=MODELS, seed=SEEDS[:1]),
            caption="../report/calibration.rst",
            category="Predictions",
        ),
        report(
            expand("results/{{cohort}}/report/{model}_seed-{seed}_importance.png", model=MODELS, seed=SEEDS[:1]),
            caption="../report/importance.rst",
            category="Predictions",
        ),
        report(
            expand(
                "results/{{cohort}}/report/{model}_seed-{seed}_survival.png",
                model=MODELS if SURVIVAL else [],
                seed=SEEDS[:1],
            ),
            caption="../report/survival.rst",
            category="Predictions",
        ),
        report("results/{cohort}/report/baselines.png", caption="../report/baselines.rst", category="Predictions"),
    log:
        "results/{cohort}/logs/report/plot_predict.log",
    benchmark:
        "results/{cohort}/benchmarks/report/plot_predict.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        flags=graph.flags({"models": MODELS, "seed": SEEDS[0], "baselines": PCAS, "survival": SURVIVAL}),
        code=CODE["report.plots.predict"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.plots.predict --results results/{wildcards.cohort} {params.flags} > {log} 2>&1"


rule plot_blocks:
    input:
        expand("results/{{cohort}}/blocks/{block}/values.npy", block=SERIES_BLOCKS),
    output:
        report(
            expand("results/{{cohort}}/report/{block}_block.png", block=SERIES_BLOCKS or ["no"]),
            caption="../report/block.rst",
            category="Blocks",
        ),
    log:
        "results/{cohort}/logs/report/plot_blocks.log",
    benchmark:
        "results/{cohort}/benchmarks/report/plot_blocks.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        flags=graph.flags({"blocks": SERIES_BLOCKS}),
        code=CODE["report.plots.blocks"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.plots.blocks --results results/{wildcards.cohort} {params.flags} > {log} 2>&1"


rule plot_audit:
    input:
        confounds=expand("results/{{cohort}}/audit/{model}/{fit}/confounds.parquet", model=MODELS, fit=FIT),
        stability=expand(
            "results/{{cohort}}/audit/{model}/fold-{fold}/{table}.parquet",
            model=MODELS,
            fold=FOLDS[:1],
            table=["stability", "matches"],
        ),
        dimension="results/{cohort}/audit/dimension.tsv",
    output:
        report(
            expand("results/{{cohort}}/report/{model}_{fit}_confounds.png", model=MODELS, fit=FIT),
            caption="../report/confounds.rst",
            category="Audits",
        ),
        report(
            expand("results/{{cohort}}/report/{model}_fold-{fold}_stability.png", model=MODELS, fold=FOLDS[:1]),
            caption="../report/stability.rst",
            category="Audits",
        ),
        report("results/{cohort}/report/dimension.png", caption="../report/dimension.rst", category="Audits"),
    log:
        "results/{cohort}/logs/report/plot_audit.log",
    benchmark:
        "results/{cohort}/benchmarks/report/plot_audit.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        flags=graph.flags({"models": MODELS, "fit": FIT}),
        code=CODE["report.plots.audit"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.plots.audit --results results/{wildcards.cohort} {params.flags} > {log} 2>&1"


rule plot_interpret:
    input:
        volumes="results/{cohort}/preprocess/volumes.npy",
        rows="results/{cohort}/preprocess/volumes.parquet",
        mask="results/{cohort}/preprocess/mask.nii.gz",
        weights=expand("results/{{cohort}}/train/{model}/{fit}/weights.safetensors", model=INTERPRETED, fit=FIT),
        health=expand("results/{{cohort}}/train/{model}/{fit}/health.json", model=INTERPRETED, fit=FIT),
        latents=expand("results/{{cohort}}/latents/{model}/{fit}/latents.parquet", model=INTERPRETED, fit=FIT),
        tests=expand("results/{{cohort}}/associate/{model}/{fit}/permute.parquet", model=INTERPRETED, fit=FIT),
        mapped=expand(
            "results/{{cohort}}/interpret/{model}/{fit}/{part}",
            model=INTERPRETED,
            fit=FIT,
            part=["maps", "maps.parquet", "regions.parquet"],
        ),
        decoded=expand(
            "results/{{cohort}}/interpret/{model}/{fit}/{part}",
            model=SHOWN_DECODED,
            fit=FIT,
            part=[
                "traversals",
                "traversals.parquet",
                "jacobian",
                "jacobian.tsv",
                "samples",
                "realism.parquet",
                "counterfactuals",
                "counterfactuals.parquet",
            ],
        ),
        seeds=expand(
            "results/{{cohort}}/interpret/{model}/fold-{fold}/seeds.parquet", model=INTERPRETED, fold=FOLDS[:1]
        ),
    output:
        report(
            expand("results/{{cohort}}/report/{model}_{fit}_traversals.png", model=SHOWN_DECODED, fit=FIT),
            caption="../report/traversals.rst",
            category="Maps",
        ),
        report(
            expand("results/{{cohort}}/report/{model}_{fit}_maps.png", model=INTERPRETED, fit=FIT),
            caption="../report/maps.rst",
            category="Maps",
        ),
        report(
            expand("results/{{cohort}}/report/{model}_{fit}_samples.png", model=SHOWN_DECODED, fit=FIT),
            caption="../report/samples.rst",
            category="Maps",
        ),
        report(
            expand("results/{{cohort}}/report/{model}_{fit}_counterfactuals.png", model=SHOWN_DECODED, fit=FIT),
            caption="../report/counterfactuals.rst",
            category="Maps",
        ),
    log:
        "results/{cohort}/logs/report/plot_interpret.log",
    benchmark:
        "results/{cohort}/benchmarks/report/plot_interpret.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        flags=graph.flags({"models": INTERPRETED, "decoded": SHOWN_DECODED, "fit": FIT}),
        code=PLOT_CODE["interpret"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.plots.interpret --results results/{wildcards.cohort} {params.flags} > {log} 2>&1"
