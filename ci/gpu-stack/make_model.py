"""Make a model directory of Llama-3.1-8B's shape for GPU hosts where no weights are at hand: a configuration and a small tokenizer, no weights.

    python make_model.py FOLDER           write it; needs nothing but Python
    python make_model.py --check FOLDER   check its tokenizer with the transformers of the interpreter that runs this

The engine makes random weights. The shape decides the times; the texts mean nothing. The tokenizer is the CPU stand-in's, and the vocabulary is
as small as it is, so that every id has a text: the two matrices over the vocabulary are 13 MB in place of 2.1 GB.
"""

import json
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cpu-stack"))
import make_model as stand_in  # noqa: E402

# 2 (keys and values) x 32 layers x 8 heads x 128 numbers of two bytes: 128 KiB of KV cache a token.
SHAPE = stand_in.SHAPE | {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    # Of 131,072: what the scenarios need, and what fits beside a second engine.
    "max_position_embeddings": 32768,
}


def write(folder: pathlib.Path) -> None:
    files = {
        "config.json": SHAPE | {"vocab_size": len(stand_in.WORDS), "torch_dtype": "bfloat16"},
        "tokenizer.json": stand_in.tokenizer(),
        "tokenizer_config.json": stand_in.tokenizer_config() | {"model_max_length": SHAPE["max_position_embeddings"]},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=1) + "\n")


def main() -> None:
    if sys.argv[1] == "--check":
        stand_in.check(pathlib.Path(sys.argv[2]))
        return
    target = pathlib.Path(sys.argv[1])
    draft = target.with_name(target.name + ".new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    write(draft)
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)


if __name__ == "__main__":
    main()
