# Tests of all models together, each with its caveats from the sensitivity checks (audit), as one table per kind of test.
rule findings:
    input:
        tables=expand(
            "results/{{cohort}}/associate/{model}/{fit}/{table}.parquet",
            model=MODELS,
            fit=INFERRED,
            table=["glm", "spline", "multivariable", "permute", "omnibus", "mixed"],
        ),
        caveats=expand("results/{{cohort}}/audit/{model}/{fit}/caveats.parquet", model=MODELS, fit=INFERRED),
        stability=expand(
            "results/{{cohort}}/audit/{model}/fold-{fold}/replicated.parquet", model=MODELS, fold=FOLDS[:1]
        ),
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
    output:
        associations=report(
            "results/{cohort}/findings/associations.tsv",
            caption="../report/associations.rst",
            category="Associations",
        ),
        omnibus=report(
            "results/{cohort}/findings/omnibus.tsv", caption="../report/omnibus.rst", category="Associations"
        ),
        multivariable="results/{cohort}/findings/multivariable.tsv",
        mixed="results/{cohort}/findings/mixed.tsv",
    log:
        "results/{cohort}/logs/findings/findings.log",
    benchmark:
        "results/{cohort}/benchmarks/findings/findings.tsv"
    conda:
        "../../envs/associate.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        flags=graph.flags(
            {"models": MODELS, "fits": INFERRED, "primary": PRIMARY, "caveat_days": config["cohort"]["caveat_days"]}
        ),
        code=CODE["findings"],
        env=ENV["associate"],
    shell:
        "python -m neurovae.findings --cohort {input.cohort} --qc {input.qc} --associate results/{wildcards.cohort}/associate --audit results/{wildcards.cohort}/audit "
        "--associations {output.associations} --omnibus {output.omnibus} --multivariable {output.multivariable} --mixed {output.mixed} {params.flags} > {log} 2>&1"
