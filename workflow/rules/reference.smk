# Who the reference is, whom norms are learnt from: models are then trained on these people alone.
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
        flags=graph.flags(
            {
                "cohort": graph.fold_section(config["cohort"])
                | {key: config["cohort"][key] for key in ("reference_group", "rename", "missing", "not_missing")}
            }
        ),
        people=norm.digest(config["cohort"], FOUND),  # an edit of another column trains nothing again
        code=CODE["cohort.reference"],
        env=ENV["cohort"],
    shell:
        "python -m neurovae.cohort.reference --folds {input.folds} --reference {output.reference} --out {output.folds} "
        "{params.flags} > {log} 2>&1"
