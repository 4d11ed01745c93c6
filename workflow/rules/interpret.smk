# Latents and score directions decoded: what they look like in the brain, in MNI space, with tests over voxels.
rule atlas:
    input:
        mask="results/{cohort}/preprocess/mask.nii.gz",
        labels=ATLAS,
    output:
        image="results/{cohort}/interpret/atlas.nii.gz",
        table="results/{cohort}/interpret/atlas.tsv",
    log:
        "results/{cohort}/logs/interpret/atlas.log",
    benchmark:
        "results/{cohort}/benchmarks/interpret/atlas.tsv"
    priority: 1
    conda:
        "../../envs/interpret.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        flags=graph.flags({"atlas": config["interpret"]["atlas"]}),
        code=CODE["interpret.atlas"],
        env=ENV["interpret"],
    shell:
        "python -m neurovae.interpret.atlas --mask {input.mask} --image {output.image} --table {output.table} {params.flags} > {log} 2>&1"


rule traverse:
    input:
        model="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/weights.safetensors",
        latents="results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latents.parquet",
        health="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/health.json",
        mask="results/{cohort}/preprocess/mask.nii.gz",
        atlas="results/{cohort}/interpret/atlas.nii.gz",
        regions="results/{cohort}/interpret/atlas.tsv",
        tests=branch(
            lookup(dpath="{model}", within=MANY),
            then="results/{cohort}/associate/{model}/fold-{fold}_seed-{seed}/permute.parquet",
            otherwise=[],
        ),
    output:
        maps=directory("results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/traversals"),
        table="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/traversals.parquet",
        tsv="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/traversals.tsv",
    log:
        "results/{cohort}/logs/interpret/traverse-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/interpret/traverse-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/interpret.yaml"
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        flags=graph.flags({key: config["interpret"][key] for key in ("quantiles", "draws", "seed")}),
        images=graph.flags({"images": config["interpret"]["traversals"]}),
        code=lookup(dpath="{model}", within=DECODED_CODE["traverse"]),
        env=ENV["interpret"],
    shell:
        "python -m neurovae.interpret.traverse --model {input.model} --latents {input.latents} --health {input.health} --mask {input.mask} --atlas {input.atlas} "
        "--maps {output.maps} --out {output.table} --tests '{input.tests}' {params.images} {params.flags} > {log} 2>&1"


rule maps:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        model="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/weights.safetensors",
        latents="results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latents.parquet",
        health="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/health.json",
        mask="results/{cohort}/preprocess/mask.nii.gz",
        atlas="results/{cohort}/interpret/atlas.nii.gz",
        regions="results/{cohort}/interpret/atlas.tsv",
    output:
        maps=directory("results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/maps"),
        table="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/maps.parquet",
        tsv="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/maps.tsv",
        regions="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/regions.parquet",
        regions_tsv="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/regions.tsv",
    log:
        "results/{cohort}/logs/interpret/maps-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/interpret/maps-{model}-fold-{fold}_seed-{seed}.tsv"
    priority: 1  # with jacobian the longest way to the report
    conda:
        "../../envs/interpret.yaml"
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        flags=SCORES,
        permute=graph.flags({"permutations": config["associate"]["permutations"], "seed": config["associate"]["seed"]}),
        code=lookup(dpath="{model}", within=DECODED_CODE["maps"]),
        env=ENV["interpret"],
    shell:
        "python -m neurovae.interpret.maps --cohort {input.cohort} --qc {input.qc} --model {input.model} --latents {input.latents} --health {input.health} --mask {input.mask} "
        "--atlas {input.atlas} --out_folder {output.maps} --out {output.table} --regions {output.regions} --threads {threads} "
        "{params.permute} {params.flags} > {log} 2>&1"


rule samples:
    input:
        model="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/weights.safetensors",
        latents="results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latents.parquet",
        health="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/health.json",
        mask="results/{cohort}/preprocess/mask.nii.gz",
        volumes="results/{cohort}/preprocess/volumes.npy",
        rows="results/{cohort}/preprocess/volumes.parquet",
    output:
        maps=directory("results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/samples"),
        table="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/realism.parquet",
        tsv="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/realism.tsv",
    log:
        "results/{cohort}/logs/interpret/samples-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/interpret/samples-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/interpret.yaml"
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        flags=graph.flags({key: config["interpret"][key] for key in ("samples", "path", "max_people", "seed")}),
        code=lookup(dpath="{model}", within=DECODED_CODE["samples"]),
        env=ENV["interpret"],
    shell:
        "python -m neurovae.interpret.samples --model {input.model} --latents {input.latents} --health {input.health} --mask {input.mask} --volumes {input.volumes} --rows {input.rows} "
        "--maps {output.maps} --out {output.table} {params.flags} > {log} 2>&1"


rule counterfactual:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        model="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/weights.safetensors",
        latents="results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latents.parquet",
        health="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/health.json",
        mask="results/{cohort}/preprocess/mask.nii.gz",
        volumes="results/{cohort}/preprocess/volumes.npy",
        rows="results/{cohort}/preprocess/volumes.parquet",
    output:
        maps=directory("results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/counterfactuals"),
        table="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/counterfactuals.parquet",
        tsv="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/counterfactuals.tsv",
    log:
        "results/{cohort}/logs/interpret/counterfactual-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/interpret/counterfactual-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/interpret.yaml"
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        flags=SCORES,
        chosen=graph.flags({key: config["interpret"][key] for key in ("people", "steps")}),
        code=lookup(dpath="{model}", within=DECODED_CODE["counterfactual"]),
        env=ENV["interpret"],
    shell:
        "python -m neurovae.interpret.counterfactual --cohort {input.cohort} --qc {input.qc} --model {input.model} --latents {input.latents} --health {input.health} --mask {input.mask} "
        "--volumes {input.volumes} --rows {input.rows} --maps {output.maps} --out {output.table} "
        "{params.chosen} {params.flags} > {log} 2>&1"


rule seeds:
    input:
        maps=expand("results/{{cohort}}/interpret/{{model}}/fold-{{fold}}_seed-{seed}/maps", seed=SEEDS),
        tables=expand("results/{{cohort}}/interpret/{{model}}/fold-{{fold}}_seed-{seed}/maps.parquet", seed=SEEDS),
        mask="results/{cohort}/preprocess/mask.nii.gz",
    output:
        maps=directory("results/{cohort}/interpret/{model}/fold-{fold}/seeds"),
        table="results/{cohort}/interpret/{model}/fold-{fold}/seeds.parquet",
        tsv="results/{cohort}/interpret/{model}/fold-{fold}/seeds.tsv",
    log:
        "results/{cohort}/logs/interpret/seeds-{model}-fold-{fold}.log",
    benchmark:
        "results/{cohort}/benchmarks/interpret/seeds-{model}-fold-{fold}.tsv"
    conda:
        "../../envs/interpret.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=CODE["interpret.seeds"],
        env=ENV["interpret"],
    shell:
        "python -m neurovae.interpret.seeds --maps \"[$(echo {input.maps} | tr ' ' ',')]\" --tables \"[$(echo {input.tables} | tr ' ' ',')]\" "
        "--mask {input.mask} --out_folder {output.maps} --out {output.table} > {log} 2>&1"


rule jacobian:
    input:
        maps="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/maps",
        table="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/maps.tsv",
        mask="results/{cohort}/preprocess/mask.nii.gz",
        atlas="results/{cohort}/interpret/atlas.nii.gz",
        regions="results/{cohort}/interpret/atlas.tsv",
    output:
        maps=directory("results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/jacobian"),
        table="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/jacobian.tsv",
    log:
        "results/{cohort}/logs/interpret/jacobian-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/interpret/jacobian-{model}-fold-{fold}_seed-{seed}.tsv"
    priority: 1
    conda:
        "../../envs/register.yaml"
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        code=CODE["interpret.jacobian"],
        env=ENV["register"],
    shell:
        "python -m neurovae.interpret.jacobian --maps {input.maps} --table {input.table} --mask {input.mask} --atlas {input.atlas} "
        "--out_folder {output.maps} --out {output.table} > {log} 2>&1"
