# Pictures of what the latents and the scores look like in the brain.
rule traversals_picture:
    input:
        maps="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/traversals",
        table="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/traversals.parquet",
        tests="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/permute.parquet",
        mask="results/{cohort}/preprocess/mask.nii.gz",
    output:
        report(
            "results/{cohort}/report/{model}_fold-{fold}_seed-{seed}_traversals.png",
            caption="../report/traversals.rst",
            category="Maps",
            subcategory="{model}",
        ),
    log:
        "results/{cohort}/logs/report/traversals-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/report/traversals-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        code=CODE["report.figures.traversals"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.figures.traversals --table {input.table} --maps {input.maps} --mask {input.mask} --tests '[{input.tests}]' "
        "--name {wildcards.model} --out {output} 2>&1 | tee {log}"


rule maps_picture:
    input:
        maps="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/maps",
        table="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/maps.parquet",
        regions="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/regions.parquet",
        jacobian="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/jacobian",
        volumes="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/jacobian.tsv",
        seeds="results/{cohort}/interpret/{model}/fold-{fold}/seeds.parquet",
        mask="results/{cohort}/preprocess/mask.nii.gz",
    output:
        report(
            "results/{cohort}/report/{model}_fold-{fold}_seed-{seed}_maps.png",
            caption="../report/maps.rst",
            category="Maps",
            subcategory="{model}",
        ),
    log:
        "results/{cohort}/logs/report/maps-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/report/maps-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        code=CODE["report.figures.maps"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.figures.maps --maps {input.maps} --table {input.table} --regions {input.regions} --jacobian {input.jacobian} "
        "--volumes {input.volumes} --seeds '[{input.seeds}]' --mask {input.mask} --name {wildcards.model} --out {output} 2>&1 | tee {log}"


rule samples_picture:
    input:
        model="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/weights.safetensors",
        latents="results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latents.parquet",
        health="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/health.json",
        mask="results/{cohort}/preprocess/mask.nii.gz",
        volumes="results/{cohort}/preprocess/volumes.npy",
        rows="results/{cohort}/preprocess/volumes.parquet",
        maps="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/samples",
        table="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/realism.parquet",
    output:
        report(
            "results/{cohort}/report/{model}_fold-{fold}_seed-{seed}_samples.png",
            caption="../report/samples.rst",
            category="Maps",
            subcategory="{model}",
        ),
    log:
        "results/{cohort}/logs/report/samples-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/report/samples-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        code=lookup(dpath="{model}", within=SAMPLES_CODE),
        env=ENV["report"],
    shell:
        "python -m neurovae.report.figures.samples --model {input.model} --latents {input.latents} --mask {input.mask} --health {input.health} "
        "--volumes {input.volumes} --rows {input.rows} --table {input.table} --maps {input.maps} --name {wildcards.model} --out {output} 2>&1 | tee {log}"


rule counterfactuals_picture:
    input:
        maps="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/counterfactuals",
        table="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/counterfactuals.parquet",
        mask="results/{cohort}/preprocess/mask.nii.gz",
    output:
        report(
            "results/{cohort}/report/{model}_fold-{fold}_seed-{seed}_counterfactuals.png",
            caption="../report/counterfactuals.rst",
            category="Maps",
            subcategory="{model}",
        ),
    log:
        "results/{cohort}/logs/report/counterfactuals-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/report/counterfactuals-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        code=CODE["report.figures.counterfactuals"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.figures.counterfactuals --table {input.table} --maps {input.maps} --mask {input.mask} "
        "--name {wildcards.model} --out {output} 2>&1 | tee {log}"
