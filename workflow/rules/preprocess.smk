# Scan -> brain mask -> MNI space -> normalised -> judged -> packed. Scans run in batches; a batch's output is its manifest.
rule extract:
    input:
        graph.of("batch", PATHS),
    output:
        manifest="results/{cohort}/preprocess/extract/{batch}.tsv",
        list="results/{cohort}/preprocess/extract/{batch}.list",
    log:
        "results/{cohort}/logs/preprocess/extract-{batch}.log",
    benchmark:
        "results/{cohort}/benchmarks/preprocess/extract-{batch}.tsv"
    conda:
        "../../envs/extract.yaml"
    resources:
        mem_mb=3000,
        runtime=120,
        max_failed=str(config["preprocess"]["max_failed"]),  # no param: it changes no result
    params:
        scans=graph.of("batch", LISTS),
        sources=graph.of("batch", SOURCES),
        flags=graph.flags(PREPROCESS["extract"]),
        code=CODE["preprocess.extract"],
        env=ENV["extract"],
    shell:
        "printf '%s\\t%s\\t%s\\t%s\\n' {params.scans} > {output.list} && "
        "MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=4294967296 "  # freed memory is kept: fewer page faults
        "python -m neurovae.preprocess.extract --list {output.list} --manifest {output.manifest} "
        "--derivatives results/{wildcards.cohort}/preprocess/derivatives "
        "--seconds results/{wildcards.cohort}/benchmarks/preprocess/extract-{wildcards.batch}.calls.tsv "
        "--stamp {params.code}-{params.env} --max_failed {resources.max_failed} {params.flags} > {log} 2>&1"


rule grids:
    output:
        "results/{cohort}/preprocess/grids.npz",
    log:
        "results/{cohort}/logs/preprocess/grids.log",
    benchmark:
        "results/{cohort}/benchmarks/preprocess/grids.tsv"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        flags=graph.flags(PREPROCESS["grids"]),
        code=CODE["preprocess.grids"],
        env=ENV["preprocess"],
    shell:
        "python -m neurovae.preprocess.grids --out {output} {params.flags} > {log} 2>&1"


rule register:
    input:
        grids="results/{cohort}/preprocess/grids.npz",
        manifest="results/{cohort}/preprocess/extract/{batch}.tsv",
        list="results/{cohort}/preprocess/extract/{batch}.list",
    output:
        "results/{cohort}/preprocess/register/{batch}.tsv",
    log:
        "results/{cohort}/logs/preprocess/register-{batch}.log",
    benchmark:
        "results/{cohort}/benchmarks/preprocess/register-{batch}.tsv"
    conda:
        "../../envs/register.yaml"
    resources:
        mem_mb=3000,
        runtime=240,
        max_failed=str(config["preprocess"]["max_failed"]),  # no param: it changes no result
    params:
        flags=graph.flags(PREPROCESS["register"]),
        code=CODE["preprocess.register"],
        env=ENV["register"],
    shell:
        "python -m neurovae.preprocess.register --extracted {input.manifest} --list {input.list} --grids {input.grids} --manifest {output} "
        "--derivatives results/{wildcards.cohort}/preprocess/derivatives "
        "--seconds results/{wildcards.cohort}/benchmarks/preprocess/register-{wildcards.batch}.calls.tsv "
        "--stamp {params.code}-{params.env} --max_failed {resources.max_failed} {params.flags} > {log} 2>&1"


rule normalise:
    input:
        manifest="results/{cohort}/preprocess/register/{batch}.tsv",
        grids="results/{cohort}/preprocess/grids.npz",
        reference=REFERENCE,
    output:
        "results/{cohort}/preprocess/normalise/{batch}.tsv",
    log:
        "results/{cohort}/logs/preprocess/normalise-{batch}.log",
    benchmark:
        "results/{cohort}/benchmarks/preprocess/normalise-{batch}.tsv"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
        max_failed=str(config["preprocess"]["max_failed"]),  # no param: it changes no result
    params:
        flags=graph.flags(PREPROCESS["normalise"]),
        code=CODE["preprocess.normalise"],
        env=ENV["preprocess"],
    shell:
        "python -m neurovae.preprocess.normalise --registered {input.manifest} --grids {input.grids} --manifest {output} "
        "--derivatives results/{wildcards.cohort}/preprocess/derivatives "
        "--seconds results/{wildcards.cohort}/benchmarks/preprocess/normalise-{wildcards.batch}.calls.tsv "
        "--stamp {params.code}-{params.env} --max_failed {resources.max_failed} {params.flags} > {log} 2>&1"


rule qc:
    input:
        expand("results/{{cohort}}/preprocess/normalise/{batch}.tsv", batch=PATHS),
        lists=expand("results/{{cohort}}/preprocess/extract/{batch}.list", batch=PATHS),
        override=PREPROCESS["qc"]["override"] or [],
    output:
        table="results/{cohort}/preprocess/qc.parquet",
        tsv=report(
            "results/{cohort}/preprocess/qc.tsv",
            caption="../report/qc.rst",
            category="Quality",
        ),
        description="results/{cohort}/preprocess/derivatives/dataset_description.json",
    log:
        "results/{cohort}/logs/preprocess/qc.log",
    benchmark:
        "results/{cohort}/benchmarks/preprocess/qc.tsv"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
        max_failed=str(config["preprocess"]["max_failed"]),  # no param: it changes no result
    params:
        flags=graph.flags({"batches": list(PATHS), **PREPROCESS["qc"]}),
        source=config["cohort"]["bids"] or config["cohort"]["table"] or f"results/{COHORT}/cohort/bids",
        code=CODE["preprocess.qc"],
        env=ENV["preprocess"],
    shell:
        "python -m neurovae.preprocess.qc --manifests results/{wildcards.cohort}/preprocess/normalise "
        "--lists results/{wildcards.cohort}/preprocess/extract "
        "--derivatives results/{wildcards.cohort}/preprocess/derivatives --source {params.source:q} "
        "--out {output.table} --max_failed {resources.max_failed} {params.flags} > {log} 2>&1"


rule pack:
    input:
        expand("results/{{cohort}}/preprocess/normalise/{batch}.tsv", batch=PATHS),
        qc="results/{cohort}/preprocess/qc.parquet",
    output:
        volumes="results/{cohort}/preprocess/volumes.npy",
        rows="results/{cohort}/preprocess/volumes.parquet",
        mask="results/{cohort}/preprocess/mask.nii.gz",
    log:
        "results/{cohort}/logs/preprocess/pack.log",
    benchmark:
        "results/{cohort}/benchmarks/preprocess/pack.tsv"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        flags=graph.flags({"batches": list(PATHS), **PREPROCESS["pack"]}),
        code=CODE["preprocess.pack"],
        env=ENV["preprocess"],
    shell:
        "python -m neurovae.preprocess.pack --manifests results/{wildcards.cohort}/preprocess/normalise --qc {input.qc} "
        "--derivatives results/{wildcards.cohort}/preprocess/derivatives --volumes {output.volumes} "
        "--rows {output.rows} --mask {output.mask} {params.flags} > {log} 2>&1"


rule duplicates:
    input:
        lists=expand("results/{{cohort}}/preprocess/extract/{batch}.list", batch=PATHS),
        volumes="results/{cohort}/preprocess/volumes.npy",
        rows="results/{cohort}/preprocess/volumes.parquet",
        mask="results/{cohort}/preprocess/mask.nii.gz",
    output:
        "results/{cohort}/preprocess/duplicates.tsv",
    log:
        "results/{cohort}/logs/preprocess/duplicates.log",
    benchmark:
        "results/{cohort}/benchmarks/preprocess/duplicates.tsv"
    priority: 1
    conda:
        "../../envs/preprocess.yaml"
    threads: 2  # takes both cores for a second: training needs both, and would wait for any longer job
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        flags=graph.flags({"batches": list(PATHS), "nonfinite": config["preprocess"]["nonfinite"]}),
        code=CODE["preprocess.duplicates"],
        env=ENV["preprocess"],
    shell:
        "python -m neurovae.preprocess.duplicates --volumes {input.volumes} --rows {input.rows} --mask {input.mask} "
        "--lists results/{wildcards.cohort}/preprocess/extract --out {output} {params.flags} > {log} 2>&1"
