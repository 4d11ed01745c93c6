# Latents and scores -> tidy tables, on one model trained without any score: which latents go with which score.
rule univariate:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        latents="results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latents.parquet",
        index="results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latent_index.parquet",
        health="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/health.json",
    output:
        glm="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/glm.parquet",
        glm_tsv="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/glm.tsv",
        spline="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/spline.parquet",
        spline_tsv="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/spline.tsv",
        permute="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/permute.parquet",
        permute_tsv="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/permute.tsv",
        curves="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/curves.parquet",
        curves_tsv="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/curves.tsv",
    log:
        "results/{cohort}/logs/associate/univariate-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/associate/univariate-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/associate.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        flags=TESTED,
        permute=graph.flags({"permutations": config["associate"]["permutations"], "seed": config["associate"]["seed"]}),
        code=CODE["associate.univariate"],
        env=ENV["associate"],
    shell:
        "python -m neurovae.associate.univariate --cohort {input.cohort} --qc {input.qc} --latents {input.latents} "
        "--index {input.index} --health {input.health} --glm {output.glm} --spline {output.spline} --curves {output.curves} --permute {output.permute} {params.flags} {params.permute} --threads {threads} > {log} 2>&1"


rule multivariable:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        latents="results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latents.parquet",
        health="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/health.json",
    output:
        table="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/multivariable.parquet",
        tsv="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/multivariable.tsv",
    log:
        "results/{cohort}/logs/associate/multivariable-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/associate/multivariable-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/associate.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        flags=TESTED,
        multivariable=graph.flags({key: config["associate"][key] for key in ("interactions", "seed")}),
        code=CODE["associate.multivariable"],
        env=ENV["associate"],
    shell:
        "python -m neurovae.associate.multivariable --cohort {input.cohort} --qc {input.qc} --latents {input.latents} "
        "--health {input.health} --out {output.table} {params.flags} {params.multivariable} > {log} 2>&1"


rule omnibus:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        latents="results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latents.parquet",
        health="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/health.json",
    output:
        table="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/omnibus.parquet",
        tsv="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/omnibus.tsv",
        directions="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/directions.parquet",
    log:
        "results/{cohort}/logs/associate/omnibus-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/associate/omnibus-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/associate.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        flags=TESTED,
        permute=graph.flags({"permutations": config["associate"]["permutations"], "seed": config["associate"]["seed"]}),
        code=CODE["associate.omnibus"],
        env=ENV["associate"],
    shell:
        "python -m neurovae.associate.omnibus --cohort {input.cohort} --qc {input.qc} --latents {input.latents} "
        "--health {input.health} --out {output.table} --directions {output.directions} {params.flags} {params.permute} --threads {threads} > {log} 2>&1"


rule mixed:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        latents="results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latents.parquet",
        health="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/health.json",
    output:
        table="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/mixed.parquet",
        tsv="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/mixed.tsv",
    log:
        "results/{cohort}/logs/associate/mixed-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/associate/mixed-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/associate.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        flags=TESTED,
        permute=graph.flags(
            {
                "permutations": config["associate"]["permutations"],
                "seed": config["associate"]["seed"],
                "site": config["associate"]["site"],
            }
        ),
        code=CODE["associate.mixed"],
        env=ENV["associate"],
    shell:
        "python -m neurovae.associate.mixed --cohort {input.cohort} --qc {input.qc} --latents {input.latents} "
        "--health {input.health} --out {output.table} {params.flags} {params.permute} > {log} 2>&1"
