# Models of functional networks -> maps of the group and of each participant, and how stable participants' features are.
rule networks:
    input:
        volumes=branch(IMAGES, then="results/{cohort}/preprocess/volumes.npy", otherwise=[]),
        rows="results/{cohort}/preprocess/volumes.parquet",
        given=lookup(dpath="{model}", within=GIVEN),
        weights="results/{cohort}/train/{model}/fold-{fold}_seed-{seed}/weights.safetensors",
        template=NETWORK_TEMPLATE,
    output:
        table="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/networks.parquet",
        tsv="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/networks.tsv",
        maps="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/network_maps.parquet",
        maps_tsv="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/network_maps.tsv",
        people="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/network_people.parquet",
        people_tsv="results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/network_people.tsv",
        images=directory("results/{cohort}/interpret/{model}/fold-{fold}_seed-{seed}/networks"),
    log:
        "results/{cohort}/logs/interpret/networks-{model}-fold-{fold}_seed-{seed}.log",
    benchmark:
        "results/{cohort}/benchmarks/interpret/networks-{model}-fold-{fold}_seed-{seed}.tsv"
    wildcard_constraints:
        model="|".join(NETWORKS),
    conda:
        "../../envs/interpret.yaml"
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        flags=lookup(dpath="{model}", within=NETWORK_FLAGS),
        code=CODE["interpret.networks"],
        env=ENV["interpret"],
    shell:
        "python -m neurovae.interpret.networks --volumes '{input.volumes}' --rows {input.rows} --model {input.weights} --name {wildcards.model} "
        "--table {input.given[0]} --out {output.table} --maps {output.maps} --people {output.people} --images {output.images} "
        "{params.flags} > {log} 2>&1"


rule plot_networks:
    input:
        expand("results/{{cohort}}/interpret/{model}/{fit}/network_maps.parquet", model=NETWORKS, fit=FIT),
        expand("results/{{cohort}}/interpret/{model}/{fit}/networks", model=NETWORKS, fit=FIT),
    output:
        report(
            expand("results/{{cohort}}/report/{model}_{fit}_networks.png", model=NETWORKS, fit=FIT),
            caption="../report/networks.rst",
            category="Models",
        ),
    log:
        "results/{cohort}/logs/report/plot_networks.log",
    benchmark:
        "results/{cohort}/benchmarks/report/plot_networks.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        flags=graph.flags({"models": NETWORKS, "fit": FIT}),
        code=CODE["report.plots.networks"],
        env=ENV["report"],
    shell:
        "python -m neurovae.report.plots.networks --results results/{wildcards.cohort} {params.flags} > {log} 2>&1"
