# What a person reads: the run on one screen, the whole of it on one page; a collapsed model ends it with a failure.
rule summary:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
        excluded="results/{cohort}/cohort/excluded.tsv",
        qc="results/{cohort}/preprocess/qc.parquet",
        health=expand("results/{{cohort}}/train/{model}/{fit}/health.json", model=MODELS, fit=FIT),
        power="results/{cohort}/audit/power.tsv",
        associations="results/{cohort}/findings/associations.tsv",
        omnibus="results/{cohort}/findings/omnibus.tsv",
        predictions="results/{cohort}/predict/predictions.tsv",
        maps=expand("results/{{cohort}}/interpret/{model}/{fit}/maps.parquet", model=MAPS_OF, fit=FIT),
        supervised=expand("results/{cohort}/supervised/tests.tsv", cohort=ALIGNED_TABLES),
        joint=expand("results/{{cohort}}/supervised/{model}/seed-{seed}/scores.tsv", model=JOINT, seed=SEEDS[:1]),
    output:
        report("results/{cohort}/report/summary.txt", caption="../report/summary.rst", category="Summary"),
    log:
        "results/{cohort}/logs/report/summary.log",
    benchmark:
        "results/{cohort}/benchmarks/report/summary.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        flags=graph.flags(
            {
                "models": MODELS,
                "fit": FIT,
                "primary": PRIMARY,
                "simulated": bool(config["cohort"]["simulate"]),
                "images": IMAGES,
            }
        ),
        code=CODE["report.summary"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.summary --cohort {input.cohort} --excluded {input.excluded} --qc {input.qc} "
        "--power {input.power} --health results/{wildcards.cohort}/train --associations {input.associations} --omnibus {input.omnibus} "
        "--predictions {input.predictions} --supervised '{input.supervised}' --joint \"[$(echo {input.joint} | tr ' ' ',')]\" "
        "--maps results/{wildcards.cohort}/interpret --out {output} {params.flags} > {log} 2>&1"


rule report:
    input:
        "results/{cohort}/report/summary.txt",
        rules.plot_train.output,
        rules.plot_associate.output,
        rules.plot_predict.output,
        rules.plot_audit.output,
        rules.plot_interpret.output if IMAGES else [],
        rules.plot_blocks.output if SERIES_BLOCKS else [],
        rules.plot_networks.output if NETWORKS else [],
        expand("results/{{cohort}}/interpret/{model}/{fit}/networks.parquet", model=NETWORKS, fit=FIT),
        rules.plot_block_maps.output if BLOCK_MAPS else [],
        expand("results/{{cohort}}/blocks/{block}/values.npy", block=BLOCK_FILES),
        expand("results/{{cohort}}/report/{name}.png", name=VALIDATED),
        rules.plot_trajectory.output if FOLLOWED else [],
        expand("results/{{cohort}}/report/{model}_brainage.png", model=AGED),
        expand("results/{{cohort}}/report/{model}_deviation.png", model=DEVIATIONS),
        expand("results/{{cohort}}/report/{model}_{person}_person.png", model=DEVIATIONS, person=PEOPLE),
        branch(IMAGES, then="results/{cohort}/preprocess/volumes.npy", otherwise=[]),
        "results/{cohort}/findings/multivariable.tsv",
        "results/{cohort}/findings/mixed.tsv",
        "results/{cohort}/predict/comparisons.tsv",
        expand("results/{{cohort}}/audit/{model}/{fit}/sites.parquet", model=MODELS, fit=FIT),
        expand("results/{cohort}/train/start_from.tsv", cohort=START_TABLES),
        expand("results/{cohort}/supervised/tests.tsv", cohort=ALIGNED_TABLES),
        expand("results/{{cohort}}/report/{model}_seed-{seed}_supervised.png", model=ALIGNED, seed=SEEDS[:1]),
        rules.plot_joint.output if JOINT else [],
        expand("results/{{cohort}}/supervised/{model}/seed-{seed}/scores.tsv", model=JOINT, seed=SEEDS[:1]),
    output:
        "results/{cohort}/report/report.html",
    log:
        "results/{cohort}/logs/report/page.log",
    benchmark:
        "results/{cohort}/benchmarks/report/page.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        flags=graph.flags({"models": MODELS, "fit": FIT, "primary": PRIMARY, "shown": MAPS_OF}),
        settings=graph.flags({"settings": graph.results_only(supervised.together(config, SUPERVISED))}),
        assets=graph.assets(),
        code=CODE["report.page"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.page --cohort results/{wildcards.cohort} "
        "--out {output} {params.flags} {params.settings} > {log} 2>&1"


rule verdict:
    input:
        "results/{cohort}/report/report.html",
        health=expand("results/{{cohort}}/train/{model}/{fit}/health.json", model=MODELS, fit=FITS),
    output:
        "results/{cohort}/report/verdict.txt",
    log:
        "results/{cohort}/logs/report/verdict.log",
    benchmark:
        "results/{cohort}/benchmarks/report/verdict.tsv"
    retries: 0  # it fails on purpose where a model has collapsed
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        flags=graph.flags({"models": MODELS, "fits": FITS}),
        code=CODE["report.verdict"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.verdict --train results/{wildcards.cohort}/train --out {output} {params.flags} > {log} 2>&1"
