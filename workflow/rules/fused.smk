# A fused model and the linear models beside it -> what each explains of every block in the test set.
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
