# Volumes and weights -> the posterior mean of every scan.
rule latents:
    input:
        volumes=branch(IMAGES, then="results/{cohort}/preprocess/volumes.npy", otherwise=[]),
        rows="results/{cohort}/preprocess/volumes.parquet",
        mask=branch(IMAGES, then="results/{cohort}/preprocess/mask.nii.gz", otherwise=[]),
        weights="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/weights.safetensors",
        duplicates=branch(IMAGES, then="results/{cohort}/preprocess/duplicates.tsv", otherwise=[]),
        given=lookup(dpath="{model}", within=GIVEN),
        atlas=lookup(dpath="{model}", within=ATLASES),
    output:
        latents="results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latents.parquet",
        index="results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latent_index.parquet",
    log:
        "results/{cohort}/logs/latents/{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/latents/{model}-fold-{fold}_seed-{seed}.tsv"
    priority: 1
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        flags=FREEZE,
        given=lookup(dpath="{model}", within=GIVEN_FLAGS),
        atlas=lookup(dpath="{model}", within=ATLAS_FLAGS),
        contents=lookup(dpath="{model}", within=GIVEN_BYTES),
        code=lookup(dpath="{model}", within=LATENTS_CODE),
        env=ENV["train"],
    shell:
        "python -m neurovae.latents --volumes '{input.volumes}' --rows {input.rows} --mask '{input.mask}' "
        "--model {input.weights} --name {wildcards.model} --out {output.latents} --index {output.index} {params.flags} {params.given} {params.atlas} > {log} 2>&1"
