# Latents and scores -> tidy tables, on one model trained without any score: which latents go with which score.
rule glm:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        latents="results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latents.parquet",
        health="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/health.json",
    output:
        table="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/glm.parquet",
        tsv="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/glm.tsv",
    log:
        "results/{cohort}/logs/associate/glm-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/associate/glm-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/associate.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        flags=SCORES,
        code=CODE["associate.glm"],
        env=ENV["associate"],
    shell:
        "python -m neurovae.associate.glm --cohort {input.cohort} --qc {input.qc} --latents {input.latents} "
        "--health {input.health} --out {output.table} {params.flags} 2>&1 | tee {log}"


rule spline:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        latents="results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latents.parquet",
        health="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/health.json",
    output:
        table="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/spline.parquet",
        tsv="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/spline.tsv",
        curves="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/curves.parquet",
    log:
        "results/{cohort}/logs/associate/spline-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/associate/spline-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/associate.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        flags=SCORES,
        code=CODE["associate.spline"],
        env=ENV["associate"],
    shell:
        "python -m neurovae.associate.spline --cohort {input.cohort} --qc {input.qc} --latents {input.latents} "
        "--health {input.health} --out {output.table} --curves {output.curves} {params.flags} 2>&1 | tee {log}"


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
        flags=SCORES,
        multivariable=graph.flags({"interactions": config["associate"]["interactions"]}),
        code=CODE["associate.multivariable"],
        env=ENV["associate"],
    shell:
        "python -m neurovae.associate.multivariable --cohort {input.cohort} --qc {input.qc} --latents {input.latents} "
        "--health {input.health} --out {output.table} {params.flags} {params.multivariable} 2>&1 | tee {log}"


rule permute:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        latents="results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latents.parquet",
        health="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/health.json",
    output:
        table="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/permute.parquet",
        tsv="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/permute.tsv",
    log:
        "results/{cohort}/logs/associate/permute-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/associate/permute-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/associate.yaml"
    threads: 2
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        flags=SCORES,
        permute=graph.flags({"permutations": config["associate"]["permutations"], "seed": config["associate"]["seed"]}),
        code=CODE["associate.permute"],
        env=ENV["associate"],
    shell:
        "python -m neurovae.associate.permute --cohort {input.cohort} --qc {input.qc} --latents {input.latents} "
        "--health {input.health} --out {output.table} {params.flags} {params.permute} --threads {threads} 2>&1 | tee {log}"


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
    threads: 2
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        flags=SCORES,
        permute=graph.flags({"permutations": config["associate"]["permutations"], "seed": config["associate"]["seed"]}),
        code=CODE["associate.omnibus"],
        env=ENV["associate"],
    shell:
        "python -m neurovae.associate.omnibus --cohort {input.cohort} --qc {input.qc} --latents {input.latents} "
        "--health {input.health} --out {output.table} --directions {output.directions} {params.flags} {params.permute} --threads {threads} 2>&1 | tee {log}"


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
        flags=SCORES,
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
        "--health {input.health} --out {output.table} {params.flags} {params.permute} 2>&1 | tee {log}"


rule associate:
    input:
        tables=expand(
            "results/{{cohort}}/associate/{model}/{fit}/{table}.parquet",
            model=MODELS,
            fit=INFERRED,
            table=["glm", "spline", "multivariable", "permute", "omnibus", "mixed"],
        ),
        caveats=expand("results/{{cohort}}/audit/{model}/{fit}/caveats.parquet", model=MODELS, fit=INFERRED),
        stability=expand(
            "results/{{cohort}}/audit/{model}/fold-{fold}/replicated.parquet", model=MODELS, fold=FOLDS[:1]
        ),
    output:
        associations=report(
            "results/{cohort}/associate/associations.tsv",
            caption="../report/associations.rst",
            category="Associations",
        ),
        omnibus=report(
            "results/{cohort}/associate/omnibus.tsv", caption="../report/omnibus.rst", category="Associations"
        ),
        multivariable="results/{cohort}/associate/multivariable.tsv",
        mixed="results/{cohort}/associate/mixed.tsv",
    log:
        "results/{cohort}/logs/associate/summary.log",
    benchmark:
        "results/{cohort}/benchmarks/associate/summary.tsv"
    conda:
        "../../envs/associate.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        flags=graph.flags({"models": MODELS, "fits": INFERRED, "primary": PRIMARY}),
        code=CODE["associate.summary"],
        env=ENV["associate"],
    shell:
        "python -m neurovae.associate.summary --folder results/{wildcards.cohort}/associate --audit results/{wildcards.cohort}/audit "
        "--out {output.associations} --omnibus {output.omnibus} --multivariable {output.multivariable} --mixed {output.mixed} {params.flags} 2>&1 | tee {log}"
