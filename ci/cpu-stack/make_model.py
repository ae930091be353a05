"""Make the stand-in model: a small Llama shape with random weights, and a tokenizer.

    python make_model.py FOLDER

The folder is checked with the transformers of the interpreter that runs this, before it appears under its name.
"""

import json
import pathlib
import random
import re
import shutil
import string
import sys

# 2 (keys and values) x 8 layers x 4 heads x 64 numbers of KV cache a token, 8 KiB in bfloat16 and 16 KiB in float32: small, and yet
# prefill on a CPU costs much more than loading what it computed, which is what the scenarios are about.
SHAPE = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 512,
    "intermediate_size": 1536,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-05,
    "rope_theta": 500000.0,
    "max_position_embeddings": 32768,
    "initializer_range": 0.02,
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": False,
    "use_cache": True,
    # No id ends a text: every reply is as long as was asked for, and no id decodes to nothing because it is special.
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}

# A word is a space and two lower-case letters, or one printable character that is not a space. A space never stands alone, so the text
# of any ids splits into just these ids again, at every joint, the template's included: a reply that comes back as part of the next turn's
# prompt has the ids that the engine generated, and its KV cache fits.
PAIRS = [f" {first}{second}" for first in string.ascii_lowercase for second in string.ascii_lowercase]
CHARACTERS = [chr(code) for code in range(ord("!"), ord("~") + 1)]
WORDS = PAIRS + CHARACTERS
WORD_PATTERN = " [a-z]{2}|[!-~]"
# What is no word (a space before anything else, a line break, other scripts) becomes this one.
UNKNOWN = "?"

CHAT_TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}</{{ message['role'] }}>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def dtype() -> str:
    """The number format that this host computes well, for `--dtype`, which otherwise makes bfloat16 of float32.

    Without AVX-512 there is no bfloat16 product to be had and vLLM falls back to one that takes four times as long as float32.
    """
    flags = re.search(r"^flags\s*:(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return "bfloat16" if flags and "avx512f" in flags[1].split() else "float32"


def tokenizer() -> dict:
    """The tokenizer.json."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": WORD_PATTERN}, "behavior": "Isolated", "invert": False},
        "post_processor": None,
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": {word: index for index, word in enumerate(WORDS)}, "unk_token": UNKNOWN},
    }


def tokenizer_config() -> dict:
    """The tokenizer_config.json. It names no special token, not even the unknown one: special ids would decode to nothing."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": SHAPE["max_position_embeddings"],
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }


def weights() -> dict:
    """Seeded random weights by their names: each product keeps the size of what it is given, so every layer has its say.

    The engine's own dummy weights are so small that a reply hangs on nothing but its last token: a cache that gives back the wrong KV
    values would go unnoticed.
    """
    import torch

    generator = torch.Generator().manual_seed(0)

    def linear(outputs: int, inputs: int) -> torch.Tensor:
        return (torch.randn(outputs, inputs, generator=generator) * inputs**-0.5).to(getattr(torch, dtype()))

    hidden, inner = SHAPE["hidden_size"], SHAPE["intermediate_size"]
    queries, keys = (SHAPE[heads] * SHAPE["head_dim"] for heads in ("num_attention_heads", "num_key_value_heads"))
    ones = torch.ones(hidden, dtype=getattr(torch, dtype()))
    tensors = {"model.embed_tokens.weight": linear(len(WORDS), hidden), "model.norm.weight": ones, "lm_head.weight": linear(len(WORDS), hidden)}
    for index in range(SHAPE["num_hidden_layers"]):
        layer = f"model.layers.{index}"
        tensors |= {
            f"{layer}.input_layernorm.weight": ones.clone(),
            f"{layer}.self_attn.q_proj.weight": linear(queries, hidden),
            f"{layer}.self_attn.k_proj.weight": linear(keys, hidden),
            f"{layer}.self_attn.v_proj.weight": linear(keys, hidden),
            f"{layer}.self_attn.o_proj.weight": linear(hidden, queries),
            f"{layer}.post_attention_layernorm.weight": ones.clone(),
            f"{layer}.mlp.gate_proj.weight": linear(inner, hidden),
            f"{layer}.mlp.up_proj.weight": linear(inner, hidden),
            f"{layer}.mlp.down_proj.weight": linear(hidden, inner),
        }
    return tensors


def write(folder: pathlib.Path) -> None:
    from safetensors.torch import save_file

    save_file(weights(), folder / "model.safetensors", metadata={"format": "pt"})
    files = {
        # `random_weights` is ours: a report says that the texts mean nothing.
        "config.json": SHAPE | {"vocab_size": len(WORDS), "torch_dtype": dtype(), "random_weights": True},
        "tokenizer.json": tokenizer(),
        "tokenizer_config.json": tokenizer_config(),
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=1) + "\n")


def check(folder: pathlib.Path) -> None:
    """Every id has a text, every sequence of ids survives decoding and encoding, and the chat template adds the same count to each."""
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(folder)
    assert len(loaded) == len(WORDS), f"{len(loaded)} ids, {len(WORDS)} words"
    assert loaded.all_special_ids == [], f"special ids {loaded.all_special_ids}"
    for index, word in enumerate(WORDS):
        assert loaded.decode([index]) == word, f"id {index} decodes to {loaded.decode([index])!r}"

    def template(messages: list[dict]) -> list[int]:
        return loaded.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)

    around = len(template([{"role": "user", "content": ""}]))
    numbers = random.Random(1)
    for length in (1, 2, 17, 256, 4096):
        ids = [numbers.randrange(len(WORDS)) for _ in range(length)]
        text = loaded.decode(ids)
        assert re.findall(WORD_PATTERN, text) == [WORDS[index] for index in ids]
        assert loaded.encode(text) == ids, f"{length} ids do not survive"
        first_turn = [{"role": "user", "content": text}]
        prompt = template(first_turn)
        assert len(prompt) == length + around, f"{len(prompt)} ids in a prompt of {length} + {around}"
        reply = [numbers.randrange(len(WORDS)) for _ in range(length)]
        second = template([*first_turn, {"role": "assistant", "content": loaded.decode(reply)}, {"role": "user", "content": "!"}])
        assert second[: len(prompt) + length] == prompt + reply, f"the second turn does not begin with the first, {length} ids"
    print(f"{dtype()}, {len(WORDS)} words, {around} tokens around a prompt: every id and every count holds")


def main() -> None:
    target = pathlib.Path(sys.argv[1])
    draft = target.with_name(target.name + ".new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    write(draft)
    check(draft)
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)


if __name__ == "__main__":
    main()
