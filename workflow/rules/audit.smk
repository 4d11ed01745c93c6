# What could be mistaken for an effect: power of the design, confounds and sites in the latents, seeds, dimension.
rule power:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
    output:
        table=report("results/{cohort}/audit/power.tsv", caption="../report/power.rst", category="Cohort"),
    log:
        "results/{cohort}/logs/audit/power.log",
    benchmark:
        "results/{cohort}/benchmarks/audit/power.tsv"
    conda:
        "../../envs/associate.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        flags=SCORES,
        power=graph.flags({"latents": LARGEST, "power": config["audit"]["power"]}),
        code=CODE["audit.power"],
        env=ENV["associate"],
    shell:
        "python -m neurovae.audit.power --cohort {input.cohort} --out {output.table} {params.flags} {params.power} > {log} 2>&1"


rule confounds:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        latents="results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latents.parquet",
        health="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/health.json",
        volumes=VOLUMES,
    output:
        table="results/{cohort}/audit/{model}/fold-{fold}_seed-{seed}/confounds.parquet",
        caveats="results/{cohort}/audit/{model}/fold-{fold}_seed-{seed}/caveats.parquet",
    log:
        "results/{cohort}/logs/audit/confounds-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/audit/confounds-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/associate.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        flags=SCORES,
        checks=graph.flags({**config["audit"], "volumes": config["audit"]["volumes"] or ""}, leave=("power",)),
        codes=CODES,
        code=CODE["audit.confounds"],
        env=ENV["associate"],
    shell:
        "python -m neurovae.audit.confounds --cohort {input.cohort} --qc {input.qc} --latents {input.latents} "
        "--health {input.health} --out {output.table} --caveats {output.caveats} {params.flags} {params.checks} {params.codes} > {log} 2>&1"


rule sites:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        latents="results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latents.parquet",
        health="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/health.json",
    output:
        table="results/{cohort}/audit/{model}/fold-{fold}_seed-{seed}/sites.parquet",
    log:
        "results/{cohort}/logs/audit/sites-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/audit/sites-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/predict.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        flags=graph.flags({"confounds": config["cohort"]["confounds"]}),
        code=CODE["audit.sites"],
        env=ENV["predict"],
    shell:
        "python -m neurovae.audit.sites --cohort {input.cohort} --qc {input.qc} --latents {input.latents} "
        "--health {input.health} --out {output.table} {params.flags} > {log} 2>&1"


rule stability:
    input:
        latents=expand("results/{{cohort}}/latents/{{model}}/fold-{{fold}}_seed-{seed}/latents.parquet", seed=SEEDS),
        weights=expand("results/{{cohort}}/train/{{model}}/fold-{{fold}}_seed-{seed}/weights.safetensors", seed=SEEDS),
        mask=branch(IMAGES, then="results/{cohort}/preprocess/mask.nii.gz", otherwise=[]),
        glm=expand("results/{{cohort}}/associate/{{model}}/fold-{{fold}}_seed-{seed}/glm.parquet", seed=SEEDS),
        omnibus=expand("results/{{cohort}}/associate/{{model}}/fold-{{fold}}_seed-{seed}/omnibus.parquet", seed=SEEDS),
        directions=expand(
            "results/{{cohort}}/associate/{{model}}/fold-{{fold}}_seed-{seed}/directions.parquet", seed=SEEDS
        ),
    output:
        stability="results/{cohort}/audit/{model}/fold-{fold}/stability.parquet",
        matches="results/{cohort}/audit/{model}/fold-{fold}/matches.parquet",
        replicated="results/{cohort}/audit/{model}/fold-{fold}/replicated.parquet",
    log:
        "results/{cohort}/logs/audit/stability-{model}-fold-{fold}.log",
    benchmark:
        "results/{cohort}/benchmarks/audit/stability-{model}-fold-{fold}.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        code=lookup(dpath="{model}", within=STABILITY_CODE),
        env=ENV["train"],
    shell:
        "python -m neurovae.audit.stability --latents \"[$(echo {input.latents} | tr ' ' ',')]\" --weights \"[$(echo {input.weights} | tr ' ' ',')]\" --glm \"[$(echo {input.glm} | tr ' ' ',')]\" --omnibus \"[$(echo {input.omnibus} | tr ' ' ',')]\" --directions \"[$(echo {input.directions} | tr ' ' ',')]\" "
        "--mask '{input.mask}' --out {output.stability} --matches {output.matches} --replicated {output.replicated} > {log} 2>&1"


rule dimension:
    input:
        volumes=branch(IMAGES, then="results/{cohort}/preprocess/volumes.npy", otherwise=[]),
        rows="results/{cohort}/preprocess/volumes.parquet",
        mask=branch(IMAGES, then="results/{cohort}/preprocess/mask.nii.gz", otherwise=[]),
        latents=expand("results/{{cohort}}/latents/{model}/{fit}/latents.parquet", model=MODELS, fit=INFERRED[:1]),
    output:
        table=report("results/{cohort}/audit/dimension.tsv", caption="../report/dimension.rst", category="Models"),
    log:
        "results/{cohort}/logs/audit/dimension.log",
    benchmark:
        "results/{cohort}/benchmarks/audit/dimension.tsv"
    conda:
        "../../envs/audit.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=CODE["audit.dimension"],
        env=ENV["audit"],
    shell:
        "python -m neurovae.audit.dimension --volumes '{input.volumes}' --rows {input.rows} --mask '{input.mask}' "
        "--latents \"[$(echo {input.latents} | tr ' ' ',')]\" --out {output.table} > {log} 2>&1"
