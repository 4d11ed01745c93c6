# The cohort: (simulated or given) BIDS folder and tables -> one validated table with a row per scan.
rule simulate:
    output:
        scans=expand("results/{{cohort}}/cohort/bids/{person}/anat/{person}_T1w.nii.gz", person=SIMULATED),
        visits=expand("results/{{cohort}}/cohort/bids/{visit}", visit=SIMULATED_VISITS),
        participants="results/{cohort}/cohort/bids/participants.tsv",
        truth="results/{cohort}/cohort/truth/truth.tsv",
    log:
        "results/{cohort}/logs/cohort/simulate.log",
    benchmark:
        "results/{cohort}/benchmarks/cohort/simulate.tsv"
    conda:
        "../../envs/cohort.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        flags=graph.flags(config["cohort"]["simulate"] or {}),
        code=CODE["cohort.simulate"],
        env=ENV["cohort"],
    shell:
        "python -m neurovae.cohort.simulate --out results/{wildcards.cohort}/cohort/bids "
        "--truth results/{wildcards.cohort}/cohort/truth --jobs {threads} {params.flags} > {log} 2>&1"


if not config["cohort"]["freeze"]:  # otherwise the folds of the frozen models are used

    rule folds:
        output:
            "results/{cohort}/cohort/folds.tsv",
        log:
            "results/{cohort}/logs/cohort/folds.log",
        benchmark:
            "results/{cohort}/benchmarks/cohort/folds.tsv"
        conda:
            "../../envs/cohort.yaml"
        resources:
            mem_mb=1000,
            runtime=10,
        params:
            flags=graph.flags({"cohort": graph.fold_section(config["cohort"])}),
            people=index.digest(FOUND.scans),
            code=CODE["cohort.folds"],
            env=ENV["cohort"],
        shell:
            "python -m neurovae.cohort.folds --out {output} {params.flags} > {log} 2>&1"


# With cohort.reference_group, models are trained on the people of the reference alone.
rule reference:
    input:
        folds="results/{cohort}/cohort/folds.tsv",
        tables=FOUND.files if config["cohort"]["simulate"] else [],
    output:
        reference="results/{cohort}/cohort/reference.tsv",
        folds="results/{cohort}/cohort/reference_folds.tsv",
    log:
        "results/{cohort}/logs/cohort/reference.log",
    benchmark:
        "results/{cohort}/benchmarks/cohort/reference.tsv"
    conda:
        "../../envs/cohort.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        flags=graph.flags({"cohort": norm.section(config["cohort"], graph.fold_section(config["cohort"]))}),
        people=norm.digest(config["cohort"], FOUND),  # an edit of another column trains nothing again
        code=CODE["cohort.reference"],
        env=ENV["cohort"],
    shell:
        "python -m neurovae.cohort.reference --folds {input.folds} --reference {output.reference} --out {output.folds} "
        "{params.flags} > {log} 2>&1"


rule cohort:
    input:
        tables=FOUND.files,
        folds="results/{cohort}/cohort/folds.tsv",
        measured=expand("results/{{cohort}}/blocks/{block}/quality.tsv", block=MEASURED),
    output:
        table="results/{cohort}/cohort/cohort.parquet",
        excluded=report(
            "results/{cohort}/cohort/excluded.tsv",
            caption="../report/excluded.rst",
            category="Cohort",
        ),
        visits="results/{cohort}/cohort/visits.tsv",
        source="results/{cohort}/cohort/source.json",
    log:
        "results/{cohort}/logs/cohort/table.log",
    benchmark:
        "results/{cohort}/benchmarks/cohort/table.tsv"
    priority: 100
    conda:
        "../../envs/cohort.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        flags=graph.flags({"cohort": graph.cohort_section(config["cohort"])}),
        scans=index.listing(FOUND),
        tables=TABLES,
        measures=MEASURE_FLAGS,
        code=CODE["cohort.table"],
        env=ENV["cohort"],
    shell:
        "python -m neurovae.cohort.table --folds {input.folds} --out {output.table} --excluded {output.excluded} --matched {output.visits} --source {output.source} "
        "{params.flags} {params.measures} > {log} 2>&1"
