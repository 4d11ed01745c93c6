# A cohort without images: the rows of its participants table in place of preprocessed scans.
rule rows:
    input:
        override=PREPROCESS["qc"]["override"] or [],
    output:
        rows="results/{cohort}/preprocess/volumes.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        tsv="results/{cohort}/preprocess/qc.tsv",
    log:
        "results/{cohort}/logs/preprocess/rows.log",
    benchmark:
        "results/{cohort}/benchmarks/preprocess/rows.tsv"
    conda:
        "../../envs/cohort.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        flags=graph.flags({"cohort": graph.fold_section(config["cohort"]), "override": PREPROCESS["qc"]["override"]}),
        scans=index.listing(FOUND),
        code=CODE["cohort.rows"],
        env=ENV["cohort"],
    shell:
        "python -m neurovae.cohort.rows --rows {output.rows} --qc {output.qc} {params.flags} > {log} 2>&1"
