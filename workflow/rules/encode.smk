# Volumes and a pretrained encoder -> embeddings; they take the place of a table of latents in train and latents. The
# encoder reads scans alone, one after another, so that neither folds nor scores matter here.
rule encode:
    input:
        volumes="results/{cohort}/preprocess/volumes.npy",
        rows="results/{cohort}/preprocess/volumes.parquet",
        mask="results/{cohort}/preprocess/mask.nii.gz",
        encoder=lookup(dpath="{model}", within=ENCODERS),
    output:
        embeddings="results/{cohort}/encode/{model}/embeddings.parquet",
        decoder="results/{cohort}/encode/{model}/decoder.safetensors",
    log:
        "results/{cohort}/logs/encode/{model}.log",
    benchmark:
        "results/{cohort}/benchmarks/encode/{model}.tsv"
    priority: 1
    conda:
        "../../envs/encode.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=1440,
        device=config["train"]["device"],
    params:
        encoder=lookup(dpath="{model}", within=ENCODER_FLAGS),
        contents=lookup(dpath="{model}", within=ENCODER_DIGESTS),
        code=CODE["encode.encode"],
        env=ENV["encode"],
    shell:
        "python -m neurovae.encode.encode --volumes {input.volumes} --rows {input.rows} --mask {input.mask} "
        "--out {output.embeddings} --decoder {output.decoder} --device {resources.device} {params.encoder} > {log} 2>&1"
