# Latents over the visits of each person: change per year, its association with scores, and a later visit predicted.
rule times:
    input:
        tables=FOUND.files,
    output:
        table="results/{cohort}/trajectory/times.parquet",
        tsv="results/{cohort}/trajectory/times.tsv",
    log:
        "results/{cohort}/logs/trajectory/times.log",
    benchmark:
        "results/{cohort}/benchmarks/trajectory/times.tsv"
    conda:
        "../../envs/cohort.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        flags=graph.flags({"cohort": config["cohort"], "age": config["trajectory"]["age"]}),
        scans=index.listing(FOUND),
        tables=TABLES,
        code=CODE["trajectory.times"],
        env=ENV["cohort"],
    shell:
        "python -m neurovae.trajectory.times --out {output.table} {params.flags} > {log} 2>&1"


rule trajectory:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        latents="results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latents.parquet",
        index="results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latent_index.parquet",
        health="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/health.json",
        times="results/{cohort}/trajectory/times.parquet",
    output:
        effects="results/{cohort}/trajectory/{model}/fold-{fold}_seed-{seed}/effects.parquet",
        effects_tsv="results/{cohort}/trajectory/{model}/fold-{fold}_seed-{seed}/effects.tsv",
        people="results/{cohort}/trajectory/{model}/fold-{fold}_seed-{seed}/people.parquet",
        people_tsv="results/{cohort}/trajectory/{model}/fold-{fold}_seed-{seed}/people.tsv",
        predicted="results/{cohort}/trajectory/{model}/fold-{fold}_seed-{seed}/predicted.parquet",
        predicted_tsv="results/{cohort}/trajectory/{model}/fold-{fold}_seed-{seed}/predicted.tsv",
        change="results/{cohort}/trajectory/{model}/fold-{fold}_seed-{seed}/change.parquet",
        change_tsv="results/{cohort}/trajectory/{model}/fold-{fold}_seed-{seed}/change.tsv",
    log:
        "results/{cohort}/logs/trajectory/trajectory-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/trajectory/trajectory-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/associate.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        flags=SCORES,
        trajectory=graph.flags({key: config["trajectory"][key] for key in ("age", "ahead", "permutations", "seed")}),
        code=CODE["trajectory.trajectory"],
        env=ENV["associate"],
    shell:
        "python -m neurovae.trajectory.trajectory --cohort {input.cohort} --qc {input.qc} --latents {input.latents} --index {input.index} "
        "--health {input.health} --times {input.times} --out $(dirname {output.effects}) {params.flags} {params.trajectory} > {log} 2>&1"


rule forecast:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        times="results/{cohort}/trajectory/times.parquet",
        latents=expand("results/{{cohort}}/latents/{{model}}/fold-{fold}_seed-{{seed}}/latents.parquet", fold=FOLDS),
        health=expand("results/{{cohort}}/train/{{model}}/fold-{fold}_seed-{{seed}}/health.json", fold=FOLDS),
        weights=expand("results/{{cohort}}/train/{{model}}/fold-{fold}_seed-{{seed}}/weights.safetensors", fold=FOLDS),
        volumes=branch(IMAGES, then="results/{cohort}/preprocess/volumes.npy", otherwise=[]),
        rows="results/{cohort}/preprocess/volumes.parquet",
        mask=branch(IMAGES, then="results/{cohort}/preprocess/mask.nii.gz", otherwise=[]),
    output:
        people="results/{cohort}/trajectory/{model}/seed-{seed}/hidden.parquet",
        people_tsv="results/{cohort}/trajectory/{model}/seed-{seed}/hidden.tsv",
        table="results/{cohort}/trajectory/{model}/seed-{seed}/forecast.parquet",
        tsv="results/{cohort}/trajectory/{model}/seed-{seed}/forecast.tsv",
        images=directory("results/{cohort}/trajectory/{model}/seed-{seed}/volumes"),
    log:
        "results/{cohort}/logs/trajectory/forecast-{model}-seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/trajectory/forecast-{model}-seed-{seed}.tsv"
    conda:
        "../../envs/interpret.yaml"
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        confounds=graph.flags({"confounds": config["cohort"]["confounds"]}),
        trajectory=graph.flags(
            {key: config["trajectory"][key] for key in ("age", "ahead", "people", "bootstraps", "seed")}
        ),
        code=lookup(dpath="{model}", within=DECODED_CODE["forecast"]),
        env=ENV["interpret"],
    shell:
        "python -m neurovae.trajectory.forecast --cohort {input.cohort} --qc {input.qc} --times {input.times} "
        "--latents \"[$(echo {input.latents} | tr ' ' ',')]\" --health \"[$(echo {input.health} | tr ' ' ',')]\" --weights \"[$(echo {input.weights} | tr ' ' ',')]\" "
        '--volumes "{input.volumes}" --rows {input.rows} --mask "{input.mask}" --hidden {output.people} --out {output.table} --images {output.images} '
        "{params.confounds} {params.trajectory} > {log} 2>&1"


rule yearly:
    input:
        cohort="results/{cohort}/cohort/cohort.parquet",
        qc="results/{cohort}/preprocess/qc.parquet",
        times="results/{cohort}/trajectory/times.parquet",
        latents="results/{cohort}/latents/{model}/fold-{fold}_seed-{seed}/latents.parquet",
        health="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/health.json",
        weights="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/weights.safetensors",
        mask="results/{cohort}/preprocess/mask.nii.gz",
        atlas="results/{cohort}/interpret/atlas.nii.gz",
    output:
        images=directory("results/{cohort}/trajectory/{model}/fold-{fold}_seed-{seed}/yearly"),
        table="results/{cohort}/trajectory/{model}/fold-{fold}_seed-{seed}/regions.parquet",
        tsv="results/{cohort}/trajectory/{model}/fold-{fold}_seed-{seed}/regions.tsv",
    log:
        "results/{cohort}/logs/trajectory/yearly-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/trajectory/yearly-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/interpret.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        confounds=graph.flags({"confounds": config["cohort"]["confounds"]}),
        trajectory=graph.flags({key: config["trajectory"][key] for key in ("age", "bootstraps", "seed")}),
        code=lookup(dpath="{model}", within=DECODED_CODE["yearly"]),
        env=ENV["interpret"],
    shell:
        "python -m neurovae.trajectory.yearly --cohort {input.cohort} --qc {input.qc} --times {input.times} --latents {input.latents} "
        "--health {input.health} --model {input.weights} --mask {input.mask} --atlas {input.atlas} --images {output.images} --out {output.table} "
        "{params.confounds} {params.trajectory} > {log} 2>&1"


rule volume_change:
    input:
        yearly="results/{cohort}/trajectory/{model}/fold-{fold}_seed-{seed}/yearly",
        regions="results/{cohort}/trajectory/{model}/fold-{fold}_seed-{seed}/regions.tsv",
        mask="results/{cohort}/preprocess/mask.nii.gz",
        atlas="results/{cohort}/interpret/atlas.nii.gz",
        names="results/{cohort}/interpret/atlas.tsv",
    output:
        images=directory("results/{cohort}/trajectory/{model}/fold-{fold}_seed-{seed}/volume_change"),
        table="results/{cohort}/trajectory/{model}/fold-{fold}_seed-{seed}/volume_change.tsv",
    log:
        "results/{cohort}/logs/trajectory/volume_change-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/trajectory/volume_change-{model}-fold-{fold}_seed-{seed}.tsv"
    conda:
        "../../envs/register.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=CODE["trajectory.volume_change"],
        env=ENV["register"],
    shell:
        "python -m neurovae.trajectory.volume_change --yearly {input.yearly} --regions {input.regions} --mask {input.mask} --atlas {input.atlas} "
        "--images {output.images} --out {output.table} > {log} 2>&1"


rule trajectories:
    input:
        fits=expand(
            "results/{{cohort}}/trajectory/{model}/{fit}/{table}.parquet",
            model=FOLLOWED,
            fit=INFERRED,
            table=["effects", "change"],
        ),
        seeds=expand("results/{{cohort}}/trajectory/{model}/seed-{seed}/forecast.parquet", model=FOLLOWED, seed=SEEDS),
        yearly=expand(
            "results/{{cohort}}/trajectory/{model}/{fit}/volume_change.tsv", model=FOLLOWED_DECODED, fit=INFERRED
        ),
    output:
        effects=report(
            "results/{cohort}/trajectory/effects.tsv", caption="../report/effects.rst", category="Trajectories"
        ),
        change=report("results/{cohort}/trajectory/change.tsv", caption="../report/change.rst", category="Trajectories"),
        forecast=report(
            "results/{cohort}/trajectory/forecast.tsv", caption="../report/forecast.rst", category="Trajectories"
        ),
    log:
        "results/{cohort}/logs/trajectory/trajectories.log",
    benchmark:
        "results/{cohort}/benchmarks/trajectory/trajectories.tsv"
    conda:
        "../../envs/associate.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        flags=graph.flags({"models": FOLLOWED, "primary": PRIMARY, "fits": INFERRED, "seeds": SEEDS}),
        code=CODE["trajectory.summary"],
        env=ENV["associate"],
    shell:
        "python -m neurovae.trajectory.summary --folder results/{wildcards.cohort}/trajectory {params.flags} > {log} 2>&1"


rule plot_trajectory:
    input:
        change="results/{cohort}/trajectory/change.tsv",
        fits=expand(
            "results/{{cohort}}/trajectory/{model}/{fit}/{table}.parquet",
            model=FOLLOWED,
            fit=FIT,
            table=["effects", "people", "change"],
        ),
        hidden=expand("results/{{cohort}}/trajectory/{model}/seed-{seed}/hidden.parquet", model=FOLLOWED, seed=SEEDS[0]),
        yearly=expand("results/{{cohort}}/trajectory/{model}/{fit}/yearly", model=FOLLOWED_DECODED, fit=FIT),
        latents=expand("results/{{cohort}}/latents/{model}/{fit}/latents.parquet", model=FOLLOWED, fit=FIT),
        times="results/{cohort}/trajectory/times.parquet",
    output:
        report(
            expand("results/{{cohort}}/report/{model}_{fit}_trajectory.png", model=FOLLOWED, fit=FIT),
            caption="../report/trajectory.rst",
            category="Trajectories",
        ),
        report(
            expand("results/{{cohort}}/report/{model}_{fit}_yearly.png", model=FOLLOWED_DECODED, fit=FIT),
            caption="../report/yearly.rst",
            category="Trajectories",
        ),
    log:
        "results/{cohort}/logs/report/plot_trajectory.log",
    benchmark:
        "results/{cohort}/benchmarks/report/plot_trajectory.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        flags=graph.flags({"models": FOLLOWED, "decoded": FOLLOWED_DECODED, "fit": FIT, "seed": SEEDS[0]}),
        code=CODE["report.plots.trajectory"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.plots.trajectory --results results/{wildcards.cohort} {params.flags} > {log} 2>&1"
