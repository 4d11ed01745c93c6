# Pictures of the models: do they know people, or only the average brain?
rule losses:
    input:
        "results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/history.parquet",
    output:
        report(
            "results/{cohort}/report/{model}_fold-{fold}_seed-{seed}_losses.png",
            caption="../report/losses.rst",
            category="Models",
            subcategory="{model}",
        ),
    log:
        "results/{cohort}/logs/report/losses-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/report/losses-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        code=CODE["report.figures.losses"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.figures.losses --history {input} --name {wildcards.model} --out {output} 2>&1 | tee {log}"


rule search:
    input:
        "results/{cohort}/train/{model}/fold-{fold}_search/trials.tsv",
    output:
        report(
            "results/{cohort}/report/{model}_fold-{fold}_search.png",
            caption="../report/search.rst",
            category="Models",
            subcategory="{model}",
        ),
    log:
        "results/{cohort}/logs/report/search-{model}-fold-{fold}.log",
    benchmark:
        "results/{cohort}/benchmarks/report/search-{model}-fold-{fold}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        flags=lookup(dpath="{model}", within=SEARCH_FLAGS),
        code=CODE["report.figures.search"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.figures.search --trials {input} --name {wildcards.model} --fold {wildcards.fold} --out {output} "
        "{params.flags} 2>&1 | tee {log}"


rule reconstructions:
    input:
        volumes="results/{cohort}/preprocess/volumes.npy",
        rows="results/{cohort}/preprocess/volumes.parquet",
        mask="results/{cohort}/preprocess/mask.nii.gz",
        weights="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/weights.safetensors",
        health="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/health.json",
    output:
        report(
            "results/{cohort}/report/{model}_fold-{fold}_seed-{seed}_reconstructions.png",
            caption="../report/reconstructions.rst",
            category="Models",
            subcategory="{model}",
        ),
    log:
        "results/{cohort}/logs/report/reconstructions-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/report/reconstructions-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        code=lookup(dpath="{model}", within=PICTURE_CODE),
        env=ENV["report"],
    shell:
        "python -m neurovae.report.figures.reconstructions --volumes {input.volumes} --rows {input.rows} --mask {input.mask} "
        "--model {input.weights} --health {input.health} --name {wildcards.model} --out {output} 2>&1 | tee {log}"


rule health_picture:
    input:
        health="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/health.json",
        index="results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latent_index.parquet",
    output:
        report(
            "results/{cohort}/report/{model}_fold-{fold}_seed-{seed}_health.png",
            caption="../report/health.rst",
            category="Models",
            subcategory="{model}",
        ),
    log:
        "results/{cohort}/logs/report/health-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/report/health-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        code=CODE["report.figures.health"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.figures.health --health {input.health} --index {input.index} --name {wildcards.model} "
        "--out {output} 2>&1 | tee {log}"


rule rates:
    input:
        expand("results/{{cohort}}/train/{model}/{fit}/health.json", model=MODELS, fit=FIT),
    output:
        report("results/{cohort}/report/rates.png", caption="../report/rates.rst", category="Models"),
    log:
        "results/{cohort}/logs/report/rates.log",
    benchmark:
        "results/{cohort}/benchmarks/report/rates.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        flags=graph.flags({"models": MODELS, "fit": FIT}),
        code=CODE["report.figures.rates"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.figures.rates --train results/{wildcards.cohort}/train --out {output} {params.flags} 2>&1 | tee {log}"
