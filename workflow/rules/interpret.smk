# Latents and score directions decoded: what they look like in the brain, in MNI space, with tests over voxels.
rule atlas:
    input:
        mask="results/{cohort}/preprocess/mask.nii.gz",
        labels=ATLAS,
    output:
        image="results/{cohort}/interpret/atlas.nii.gz",
        table="results/{cohort}/interpret/atlas.tsv",
    log:
        "results/{cohort}/logs/interpret/atlas.log",
    benchmark:
        "results/{cohort}/benchmarks/interpret/atlas.tsv"
    conda:
        "../../envs/interpret.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        flags=graph.flags({"atlas": config["interpret"]["atlas"]}),
        code=CODE.get("interpret.atlas"),
        env=ENV["interpret"],
    shell:
        "python -m neurovae.interpret.atlas --mask {input.mask} --image {output.image} --table {output.table} {params.flags} 2>&1 | tee {log}"
