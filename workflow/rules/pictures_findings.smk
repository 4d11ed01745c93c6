# Pictures of what goes with the scores, and of what could be mistaken for it.
rule scores:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
        latents="results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latents.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        glm="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/glm.parquet",
        permute="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/permute.parquet",
        curves="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/curves.parquet",
    output:
        report(
            "results/{cohort}/report/{model}_fold-{fold}_seed-{seed}_scores.png",
            caption="../report/scores.rst",
            category="Associations",
        ),
    log:
        "results/{cohort}/logs/report/scores-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/report/scores-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        flags=graph.flags({"most": config["report"]["latents"]}),
        scores=SCORES,
        code=CODE["report.figures.scores"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.figures.scores --cohort {input.cohort} --latents {input.latents} --qc {input.qc} "
        "--glm {input.glm} --permute {input.permute} --curves {input.curves} --name {wildcards.model} --out {output} "
        "{params.scores} {params.flags} 2>&1 | tee {log}"


rule quality:
    input:
        "results/{cohort}/preprocess/qc.parquet",
    output:
        report("results/{cohort}/report/quality.png", caption="../report/quality.rst", category="Quality"),
    log:
        "results/{cohort}/logs/report/quality.log",
    benchmark:
        "results/{cohort}/benchmarks/report/quality.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        flags=graph.flags({**PREPROCESS["pack"], "most": config["report"]["scans"]}),
        code=CODE["report.figures.quality"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.figures.quality --qc {input} --derivatives results/{wildcards.cohort}/preprocess/derivatives "
        "--out {output} {params.flags} 2>&1 | tee {log}"


rule directions:
    input:
        omnibus="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/omnibus.parquet",
        directions="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/directions.parquet",
    output:
        report(
            "results/{cohort}/report/{model}_fold-{fold}_seed-{seed}_directions.png",
            caption="../report/directions.rst",
            category="Associations",
        ),
    log:
        "results/{cohort}/logs/report/directions-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/report/directions-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        code=CODE["report.figures.directions"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.figures.directions --omnibus {input.omnibus} --directions {input.directions} --name {wildcards.model} --out {output} 2>&1 | tee {log}"


rule confounds_picture:
    input:
        "results/{cohort}/audit/{model}/fold-{fold}_seed-{seed}/confounds.parquet",
    output:
        report(
            "results/{cohort}/report/{model}_fold-{fold}_seed-{seed}_confounds.png",
            caption="../report/confounds.rst",
            category="Audits",
        ),
    log:
        "results/{cohort}/logs/report/confounds-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/report/confounds-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        code=CODE["report.figures.confounds"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.figures.confounds --audit {input} --name {wildcards.model} --out {output} 2>&1 | tee {log}"


rule stability_picture:
    input:
        stability="results/{cohort}/audit/{model}/fold-{fold}/stability.parquet",
        matches="results/{cohort}/audit/{model}/fold-{fold}/matches.parquet",
    output:
        report(
            "results/{cohort}/report/{model}_fold-{fold}_stability.png",
            caption="../report/stability.rst",
            category="Audits",
        ),
    log:
        "results/{cohort}/logs/report/stability-{model}-fold-{fold}.log",
    benchmark:
        "results/{cohort}/benchmarks/report/stability-{model}-fold-{fold}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        code=CODE["report.figures.stability"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.figures.stability --stability {input.stability} --matches {input.matches} --name {wildcards.model} --out {output} 2>&1 | tee {log}"


rule calibration:
    input:
        predictions="results/{cohort}/predict/{model}/seed-{seed}/predictions.parquet",
        metrics="results/{cohort}/predict/{model}/seed-{seed}/predict.parquet",
    output:
        report(
            "results/{cohort}/report/{model}_seed-{seed}_calibration.png",
            caption="../report/calibration.rst",
            category="Predictions",
        ),
    log:
        "results/{cohort}/logs/report/calibration-{model}-seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/report/calibration-{model}-seed-{seed}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        code=CODE["report.figures.calibration"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.figures.calibration --predictions {input.predictions} --metrics {input.metrics} --name {wildcards.model} --out {output} 2>&1 | tee {log}"


rule baselines:
    input:
        "results/{cohort}/predict/predictions.tsv",
    output:
        report(
            "results/{cohort}/report/baselines.png",
            caption="../report/baselines.rst",
            category="Predictions",
        ),
    log:
        "results/{cohort}/logs/report/baselines.log",
    benchmark:
        "results/{cohort}/benchmarks/report/baselines.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        flags=graph.flags({"baselines": PCAS}),
        code=CODE["report.figures.baselines"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.figures.baselines --predictions {input} --out {output} {params.flags} 2>&1 | tee {log}"


rule dimension_picture:
    input:
        "results/{cohort}/audit/dimension.tsv",
    output:
        report(
            "results/{cohort}/report/dimension.png",
            caption="../report/dimension.rst",
            category="Audits",
        ),
    log:
        "results/{cohort}/logs/report/dimension.log",
    benchmark:
        "results/{cohort}/benchmarks/report/dimension.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        code=CODE["report.figures.dimension"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.figures.dimension --table {input} --out {output} 2>&1 | tee {log}"


rule importance_picture:
    input:
        "results/{cohort}/predict/{model}/seed-{seed}/importance.parquet",
    output:
        report(
            "results/{cohort}/report/{model}_seed-{seed}_importance.png",
            caption="../report/importance.rst",
            category="Predictions",
            subcategory="{model}",
        ),
    log:
        "results/{cohort}/logs/report/importance-{model}-seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/report/importance-{model}-seed-{seed}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        code=CODE["report.figures.importance"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.figures.importance --table {input} --name {wildcards.model} --out {output} 2>&1 | tee {log}"
