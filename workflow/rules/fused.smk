# Fused models and their linear counterparts: variance explained per block in the test set, and what each latent changes.
rule explain_blocks:
    input:
        volumes=branch(IMAGES, then="results/{cohort}/preprocess/volumes.npy", otherwise=[]),
        rows="results/{cohort}/preprocess/volumes.parquet",
        mask=branch(IMAGES, then="results/{cohort}/preprocess/mask.nii.gz", otherwise=[]),
        given=lookup(dpath="{model}", within=GIVEN),
        weights="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/weights.safetensors",
        twins=lookup(dpath="{model}/fold-{fold}_seed-{seed}", within=TWIN_WEIGHTS),
    output:
        table="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/blocks.parquet",
        tsv="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/blocks.tsv",
    log:
        "results/{cohort}/logs/train/explain_blocks-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/train/explain_blocks-{model}-fold-{fold}_seed-{seed}.tsv"
    wildcard_constraints:
        model="|".join(TWINS),
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        flags=lookup(dpath="{model}", within=TWIN_FLAGS),
        given=lookup(dpath="{model}", within=GIVEN_FLAGS),
        code=BLOCKS_CODE,
        env=ENV["train"],
    shell:
        "python -m neurovae.train.explain_blocks --volumes '{input.volumes}' --rows {input.rows} --mask '{input.mask}' "
        "--models \"[$(echo {input.weights} {input.twins} | tr ' ' ',')]\" --out {output.table} --seed {wildcards.seed} "
        "{params.flags} {params.given} > {log} 2>&1"


rule block_maps:
    input:
        mask=branch(IMAGES, then="results/{cohort}/preprocess/mask.nii.gz", otherwise=[]),
        given=lookup(dpath="{model}", within=GIVEN),
        weights="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/weights.safetensors",
        latents="results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latents.parquet",
        index="results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latent_index.parquet",
    output:
        table="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/block_maps.parquet",
        tsv="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/block_maps.tsv",
    log:
        "results/{cohort}/logs/interpret/block_maps-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/interpret/block_maps-{model}-fold-{fold}_seed-{seed}.tsv"
    wildcard_constraints:
        model="|".join(BLOCK_MAPS),
    conda:
        "../../envs/interpret.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        flags=lookup(dpath="{model}", within=GIVEN_FLAGS),
        code=BLOCK_MAPS_CODE,
        env=ENV["interpret"],
    shell:
        "python -m neurovae.interpret.block_maps --model {input.weights} --name {wildcards.model} --latents {input.latents} "
        "--mask '{input.mask}' --out {output.table} {params.flags} > {log} 2>&1"


rule plot_block_maps:
    input:
        expand("results/{{cohort}}/interpret/{model}/{fit}/block_maps.parquet", model=BLOCK_MAPS, fit=FIT),
        expand("results/{{cohort}}/blocks/{block}/values.npy", block=BLOCK_FILES),
    output:
        report(
            expand(
                "results/{{cohort}}/report/{model}_{fit}_{block}_blockmaps.png",
                zip,
                model=[model for model in BLOCK_MAPS for block in BLOCK_MAPS[model]],
                fit=[FIT for model in BLOCK_MAPS for block in BLOCK_MAPS[model]],
                block=[block for model in BLOCK_MAPS for block in BLOCK_MAPS[model]],
            ),
            caption="../report/blockmaps.rst",
            category="Models",
        ),
    log:
        "results/{cohort}/logs/report/plot_block_maps.log",
    benchmark:
        "results/{cohort}/benchmarks/report/plot_block_maps.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        flags=graph.flags({"models": BLOCK_MAPS, "fit": FIT}),
        code=CODE["report.plots.block_maps"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.plots.block_maps --results results/{wildcards.cohort} {params.flags} > {log} 2>&1"
