# Tables and functional data beside the scans -> blocks: a row per scan, a column per feature, and quality. No score is
# read here, and nothing is fitted over people.
rule blocks_table:
    input:
        lookup(dpath="{block}", within=BLOCK_FILES),
    output:
        rows="results/{cohort}/blocks/{block}/rows.parquet",
        features="results/{cohort}/blocks/{block}/features.parquet",
        values="results/{cohort}/blocks/{block}/values.npy",
        quality="results/{cohort}/blocks/{block}/quality.tsv",
    log:
        "results/{cohort}/logs/blocks/{block}.log",
    benchmark:
        "results/{cohort}/benchmarks/blocks/{block}.tsv"
    wildcard_constraints:
        block="|".join(TABLE_BLOCKS) or "-",
    conda:
        "../../envs/blocks.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        flags=lookup(dpath="{block}", within=BLOCK_FLAGS),
        contents=lookup(dpath="{block}", within=BLOCK_BYTES),
        scans=index.listing(FOUND),
        code=CODE["blocks.table"],
        env=ENV["blocks"],
    shell:
        "python -m neurovae.blocks.table --out results/{wildcards.cohort}/blocks/{wildcards.block} {params.flags} > {log} 2>&1"


rule blocks_series:
    input:
        lookup(dpath="{block}", within=BLOCK_FILES),
    output:
        rows="results/{cohort}/blocks/{block}/rows.parquet",
        features="results/{cohort}/blocks/{block}/features.parquet",
        values="results/{cohort}/blocks/{block}/values.npy",
        series="results/{cohort}/blocks/{block}/series.npy",
        runs="results/{cohort}/blocks/{block}/series.parquet",
        parcels="results/{cohort}/blocks/{block}/parcels.parquet",
        quality="results/{cohort}/blocks/{block}/quality.tsv",
    log:
        "results/{cohort}/logs/blocks/{block}.log",
    benchmark:
        "results/{cohort}/benchmarks/blocks/{block}.tsv"
    wildcard_constraints:
        block="|".join(SERIES_BLOCKS) or "-",
    conda:
        "../../envs/blocks.yaml"
    resources:
        mem_mb=4000,
        runtime=720,
    params:
        flags=lookup(dpath="{block}", within=BLOCK_FLAGS),
        contents=lookup(dpath="{block}", within=BLOCK_BYTES),
        scans=index.listing(FOUND),
        code=CODE["blocks.series"],
        env=ENV["blocks"],
    shell:
        "python -m neurovae.blocks.series --out results/{wildcards.cohort}/blocks/{wildcards.block} {params.flags} > {log} 2>&1"
