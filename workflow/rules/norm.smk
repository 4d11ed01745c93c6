# Latents and ages -> brain age: predicted ages, their gaps, and the gaps against the scores.
rule brain_age:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        reference=REFERENCE_FILE,
        latents=expand(
            "results/{{cohort}}/latents/{{model}}/fold-{fold}_seed-{seed}/latents.parquet",
            fold=FOLDS,
            seed=SEEDS[0],
        ),
        index=expand(
            "results/{{cohort}}/latents/{{model}}/fold-{fold}_seed-{seed}/latent_index.parquet",
            fold=FOLDS,
            seed=SEEDS[0],
        ),
        health=expand(
            "results/{{cohort}}/train/{{model}}/fold-{fold}_seed-{seed}/health.json", fold=FOLDS, seed=SEEDS[0]
        ),
        weights=expand(
            "results/{{cohort}}/train/{{model}}/fold-{fold}_seed-{seed}/weights.safetensors",
            fold=FOLDS,
            seed=SEEDS[0],
        ),
    output:
        ages="results/{cohort}/norm/{model}/brain_age.parquet",
        ages_tsv="results/{cohort}/norm/{model}/brain_age.tsv",
        metrics="results/{cohort}/norm/{model}/brain_age_metrics.parquet",
        metrics_tsv=report(
            "results/{cohort}/norm/{model}/brain_age_metrics.tsv",
            caption="../report/brain_age_metrics.rst",
            category="Norm",
        ),
        groups="results/{cohort}/norm/{model}/brain_age_groups.parquet",
        groups_tsv="results/{cohort}/norm/{model}/brain_age_groups.tsv",
        tests="results/{cohort}/norm/{model}/brain_age_tests.parquet",
        tests_tsv=report(
            "results/{cohort}/norm/{model}/brain_age_tests.tsv",
            caption="../report/brain_age_tests.rst",
            category="Norm",
        ),
    log:
        "results/{cohort}/logs/norm/brain_age-{model}.log",
    benchmark:
        "results/{cohort}/benchmarks/norm/brain_age-{model}.tsv"
    conda:
        "../../envs/interpret.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        flags=SCORES,
        predict=graph.flags({key: config["predict"][key] for key in ("inner", "harmonise", "new_site")}),
        norm=graph.flags({key: config["norm"][key] for key in ("age", "bootstraps", "permutations", "seed")}),
        freeze=FREEZE,
        code=CODE["norm.brain_age"],
        env=ENV["interpret"],
    shell:
        "python -m neurovae.norm.brain_age --cohort {input.cohort} --qc {input.qc} --reference '{input.reference}' "
        "--latents \"[$(echo {input.latents} | tr ' ' ',')]\" --index \"[$(echo {input.index} | tr ' ' ',')]\" --health \"[$(echo {input.health} | tr ' ' ',')]\" --weights \"[$(echo {input.weights} | tr ' ' ',')]\" "
        "--ages {output.ages} --metrics {output.metrics} --groups {output.groups} --tests {output.tests} "
        "{params.flags} {params.predict} {params.norm} {params.freeze} > {log} 2>&1"


rule deviation:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        reference=REFERENCE_FILE,
        latents=expand(
            "results/{{cohort}}/latents/{{model}}/fold-{fold}_seed-{seed}/latents.parquet",
            fold=FOLDS,
            seed=SEEDS[0],
        ),
        health=expand(
            "results/{{cohort}}/train/{{model}}/fold-{fold}_seed-{seed}/health.json", fold=FOLDS, seed=SEEDS[0]
        ),
        weights=expand(
            "results/{{cohort}}/train/{{model}}/fold-{fold}_seed-{seed}/weights.safetensors",
            fold=FOLDS,
            seed=SEEDS[0],
        ),
        volumes=branch(IMAGES, then="results/{cohort}/preprocess/volumes.npy", otherwise=[]),
        rows="results/{cohort}/preprocess/volumes.parquet",
        mask=branch(IMAGES, then="results/{cohort}/preprocess/mask.nii.gz", otherwise=[]),
        atlas=branch(IMAGES, then="results/{cohort}/interpret/atlas.nii.gz", otherwise=[]),
    output:
        people="results/{cohort}/norm/{model}/deviation.parquet",
        people_tsv=report(
            "results/{cohort}/norm/{model}/deviation.tsv", caption="../report/deviation_table.rst", category="Norm"
        ),
        regions="results/{cohort}/norm/{model}/deviation_regions.parquet",
        regions_tsv="results/{cohort}/norm/{model}/deviation_regions.tsv",
        calibrated="results/{cohort}/norm/{model}/deviation_calibration.parquet",
        calibrated_tsv=report(
            "results/{cohort}/norm/{model}/deviation_calibration.tsv",
            caption="../report/deviation_calibration.rst",
            category="Norm",
        ),
        images=directory("results/{cohort}/norm/{model}/deviation_maps"),
    log:
        "results/{cohort}/logs/norm/deviation-{model}.log",
    benchmark:
        "results/{cohort}/benchmarks/norm/deviation-{model}.tsv"
    conda:
        "../../envs/interpret.yaml"
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        norm=graph.flags(
            {key: config["norm"][key] for key in ("age", "sex", "smooth_mm", "extreme", "bootstraps", "seed")}
        ),
        code=lookup(dpath="{model}", within=DEVIATION_CODE),
        env=ENV["interpret"],
    shell:
        "python -m neurovae.norm.deviation --cohort {input.cohort} --qc {input.qc} --reference {input.reference} "
        "--latents \"[$(echo {input.latents} | tr ' ' ',')]\" --health \"[$(echo {input.health} | tr ' ' ',')]\" --weights \"[$(echo {input.weights} | tr ' ' ',')]\" "
        "--volumes '{input.volumes}' --rows {input.rows} --mask '{input.mask}' --atlas '{input.atlas}' "
        "--people {output.people} --regions {output.regions} --calibrated {output.calibrated} --images {output.images} {params.norm} > {log} 2>&1"


rule plot_norm:
    input:
        ages=expand(
            "results/{{cohort}}/norm/{model}/{table}.parquet",
            model=AGED,
            table=["brain_age", "brain_age_groups", "brain_age_metrics"],
        ),
        deviations=expand(
            "results/{{cohort}}/norm/{model}/{table}.parquet",
            model=DEVIATIONS,
            table=["deviation", "deviation_calibration"],
        ),
    output:
        report(
            expand("results/{{cohort}}/report/{model}_brainage.png", model=AGED),
            caption="../report/brainage.rst",
            category="Norm",
        ),
        report(
            expand("results/{{cohort}}/report/{model}_deviation.png", model=DEVIATIONS),
            caption="../report/deviation.rst",
            category="Norm",
        ),
    log:
        "results/{cohort}/logs/report/plot_norm.log",
    benchmark:
        "results/{cohort}/benchmarks/report/plot_norm.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        flags=graph.flags({"aged": AGED, "deviations": DEVIATIONS}),
        code=CODE["report.plots.norm"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.plots.norm --results results/{wildcards.cohort} {params.flags} > {log} 2>&1"


rule plot_people:
    input:
        deviations=expand(
            "results/{{cohort}}/norm/{model}/{table}",
            model=DEVIATIONS,
            table=["deviation.parquet", "deviation_regions.parquet", "deviation_maps"],
        ),
        volumes=branch(IMAGES, then="results/{cohort}/preprocess/volumes.npy", otherwise=[]),
        rows="results/{cohort}/preprocess/volumes.parquet",
        mask=branch(IMAGES, then="results/{cohort}/preprocess/mask.nii.gz", otherwise=[]),
    output:
        report(
            expand("results/{{cohort}}/report/{model}_{person}_person.png", model=DEVIATIONS, person=PEOPLE),
            caption="../report/person.rst",
            category="Norm",
        ),
    log:
        "results/{cohort}/logs/report/plot_people.log",
    benchmark:
        "results/{cohort}/benchmarks/report/plot_people.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        flags=graph.flags({"models": DEVIATIONS, "people": PEOPLE}),
        code=CODE["report.plots.people"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.plots.people --results results/{wildcards.cohort} {params.flags} > {log} 2>&1"
