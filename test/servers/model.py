"""Writes a tiny Llama with random weights, always the same, twice: as GGUF, and as the files of Hugging Face.

Usage: make.py FOLDER. Its words are the bytes, a few characters outside ASCII and the marks of a chat. Bytes that are no
letters of their own have no weight, so what it writes is text. Nor has the end of a turn: it never ends by itself.
"""
import json
import sys
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import save_file

LAYERS, WIDTH, HEADS, INNER, CONTEXT = 2, 64, 4, 128, 2048
MARKS = ["<|end|>", "<|start|>"]
WIDE = ["é", "ß", "你", "好", "世", "界", "😀"]
TEMPLATE = """
{%- if tools -%}
<|start|>system
Functions:
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
A call is written so:
<tool_call>
{"name": <name>, "arguments": <arguments>}
</tool_call><|end|>
{% endif -%}
{%- for message in messages -%}
<|start|>{{ message.role }}
{% if message.content %}{{ message.content }}{% endif -%}
{%- for call in message.tool_calls or [] -%}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor -%}
<|end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|start|>assistant
{% endif -%}
"""


def byte_letters():
    """The letters by which byte-level BPE writes the 256 bytes (GPT-2's table)."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {byte: chr(256 + at) for at, byte in enumerate(hidden)}


def words():
    """Returns all tokens by their ids, the merges that make the wide ones, and which ids may be written."""
    letters = byte_letters()
    tokens = MARKS + [letters[byte] for byte in range(256)]
    merges = []
    for character in WIDE:
        part, *rest = [letters[byte] for byte in character.encode()]
        for letter in rest:
            if f"{part} {letter}" not in merges:
                merges.append(f"{part} {letter}")
                tokens.append(part + letter)
            part += letter
    whole = {"".join(letters[byte] for byte in character.encode()) for character in WIDE}
    plain = {letters[byte] for byte in range(32, 127)}
    written = [at for at, token in enumerate(tokens) if token in whole | plain]
    return tokens, merges, written


def weights(size, written):
    random = np.random.default_rng(11)

    def normal(*shape, scale=0.2):
        return random.normal(0, scale, shape).astype(np.float32)

    head = np.zeros((size, WIDTH), np.float32)
    head[written] = normal(len(written), WIDTH, scale=0.3)
    tensors = {
        "model.embed_tokens.weight": normal(size, WIDTH, scale=1),
        "model.norm.weight": np.ones(WIDTH, np.float32),
        "lm_head.weight": head,
    }
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        for name in ["q_proj", "k_proj", "v_proj", "o_proj"]:
            tensors[f"{at}.self_attn.{name}.weight"] = normal(WIDTH, WIDTH)
        tensors[f"{at}.mlp.gate_proj.weight"] = normal(INNER, WIDTH)
        tensors[f"{at}.mlp.up_proj.weight"] = normal(INNER, WIDTH)
        tensors[f"{at}.mlp.down_proj.weight"] = normal(WIDTH, INNER)
        for name in ["input_layernorm", "post_attention_layernorm"]:
            tensors[f"{at}.{name}.weight"] = np.ones(WIDTH, np.float32)
    return tensors


def write_hugging_face(folder, tensors, tokens, merges):
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    marks = [
        {"id": at, "content": mark, "special": True, "normalized": False}
        | {"single_word": False, "lstrip": False, "rstrip": False}
        for at, mark in enumerate(MARKS)
    ]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    model = {"type": "BPE", "vocab": {token: at for at, token in enumerate(tokens)}, "merges": merges}
    files = {
        "config.json": {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": WIDTH,
            "intermediate_size": INNER,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": HEADS,
            "max_position_embeddings": CONTEXT,
            "vocab_size": len(tokens),
            "bos_token_id": 1,
            "eos_token_id": 0,
            "rms_norm_eps": 1e-6,
            "tie_word_embeddings": False,
            "torch_dtype": "float32",
        },
        "generation_config.json": {"bos_token_id": 1, "eos_token_id": 0},
        "tokenizer.json": {
            "version": "1.0",
            "added_tokens": marks,
            "pre_tokenizer": byte_level,
            "decoder": byte_level,
            "model": model,
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": CONTEXT,
            "eos_token": MARKS[0],
            "chat_template": TEMPLATE,
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))


def rotated(weight):
    """GGUF keeps the halves of each head of q and k in turns."""
    return weight.reshape(HEADS, 2, WIDTH // HEADS // 2, WIDTH).swapaxes(1, 2).reshape(WIDTH, WIDTH)


def write_gguf(path, tensors, tokens, merges):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    kinds = [gguf.TokenType.CONTROL if token in MARKS else gguf.TokenType.NORMAL for token in tokens]
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, LAYERS)
    for name, tensor in tensors.items():
        kept = rotated(tensor) if "q_proj" in name or "k_proj" in name else tensor
        writer.add_tensor(names.get_name(name, (".weight",)), kept)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    tokens, merges, written = words()
    tensors = weights(len(tokens), written)
    write_hugging_face(folder, tensors, tokens, merges)
    write_gguf(folder / "model.gguf", tensors, tokens, merges)
