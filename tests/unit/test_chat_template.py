"""Chat templates: what real ones need works, as transformers sets jinja2 up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from vocab_files import CONTROL, bpe_file

from q4engine.errors import Q4Error
from q4engine.gguf import GGUFFile
from q4engine.tokenizer import ChatTemplate, Tokenizer
from q4engine.tokenizer.chat_template import NAMED

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": " Hi! "},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Bye"},
]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


def render(source: str, messages: list[dict[str, str]] = MESSAGES, generate: bool = True) -> str:
    return ChatTemplate("synthetic.gguf", source, TOKENS).render(messages, generate)


LLAMA2 = """
{%- if messages[0]['role'] == 'system' -%}
    {%- set system = '<<SYS>>\\n' ~ messages[0].content ~ '\\n<</SYS>>\\n\\n' -%}
    {%- set rest = messages[1:] -%}
{%- else -%}
    {%- set system, rest = '', messages -%}
{%- endif -%}
{%- for message in rest -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{- raise_exception('roles must alternate') -}}
    {%- endif -%}
    {%- if message.role == 'user' -%}
        {{- bos_token + '[INST] ' + (system if loop.first else '') + message['content'].strip() + ' [/INST]' -}}
    {%- else -%}
        {{- ' ' + message['content'] | trim + ' ' + eos_token -}}
    {%- endif -%}
{%- endfor -%}
"""


def test_llama2_style() -> None:
    assert render(LLAMA2) == ("<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi! [/INST] Hello. </s><s>[INST] Bye [/INST]")


def test_a_template_may_refuse_messages() -> None:
    with pytest.raises(Q4Error, match=r"synthetic\.gguf: key 'tokenizer\.chat_template' refuses the messages: roles"):
        render(LLAMA2, [{"role": "assistant", "content": "x"}])


def test_generation_prompt() -> None:
    source = "{% for m in messages %}{{ m.content }}|{% endfor %}{% if add_generation_prompt %}A:{% endif %}"
    assert render(source, generate=True) == "Be brief.| Hi! |Hello.|Bye|A:"
    assert render(source, generate=False) == "Be brief.| Hi! |Hello.|Bye|"


def test_blocks_are_trimmed_as_templates_expect() -> None:
    assert render("{% if true %}\n  {% set x = 1 %}\nline\n{% endif %}\nend") == "line\nend"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "4"),
        ("{% macro f(x, y='!') %}{{ x }}{{ y }}{% endmacro %}{{ f('a') }}{{ f('b', y='?') }}", "a!b?"),
        ("{{ messages | map(attribute='role') | join(',') }}", "system,user,assistant,user"),
        ("{{ messages | selectattr('role', 'equalto', 'user') | list | length }}", "2"),
        ("{{ (messages | last)['content'] | tojson }}", '"Bye"'),
        ("{{ {'a': ['é<', 1, none, true]} | tojson }}", '{"a": ["é<", 1, null, true]}'),
        ("{{ {'a': 1} | tojson(indent=2) }}", '{\n  "a": 1\n}'),
        ("{{ 'a\nb' | indent(2) }}|{{ 'a' | indent(2, true) }}", "a\n  b|  a"),
        ("{{ 'x</think>y'.split('</think>')[-1] }}{{ 'aXb'.replace('X', '--') }}", "ya--b"),
        ("{{ ', '.join(['a', 'b']) }}{{ 'x' ~ 1 ~ none ~ undefined_name }}", "a, bx1None"),
        ("{% for m in messages if m.role == 'user' %}{{ loop.index }}{{ loop.last }}{% endfor %}", "1False2True"),
        ("{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{% endfor %}{{ [3, 1] | sort }}", "a1[1, 3]"),
        ("{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", "01"),
        ("{{ tools is none }}{{ documents is none }}{{ x is defined }}", "TrueTrueFalse"),
        ("{{ messages[::-1][0].content }}{{ 'abc'[1:] }}{{ messages | length > 3 }}", "ByebcTrue"),
        ("{% filter upper %}a{{ 'b' }}{% endfilter %}{% set x %}q{{ 1 }}{% endset %}{{ x }}", "ABq1"),
        ("{{ messages[0].content.startswith('Be') and 'brief' in messages[0].content }}", "True"),
        ("{{ 7 // 2 }}{{ 2 ** 3 }}{{ 7 % 4 }}{{ 'ab' * 2 }}{{ -3 | abs }}", "383abab3"),
        ("{% call(x) f() %}{{ x }}{% endcall %}{% macro f() %}{% endmacro %}", None),
        ("{% macro f() %}<{{ caller('z') }}>{% endmacro %}{% call(x) f() %}{{ x }}{% endcall %}", "<z>"),
        ("{% for i in [[1, [2]]] recursive %}{{ loop(i) if i is iterable else i }}{% endfor %}", "12"),
        ("{{ '%s-%d' % ('a', 1) }}{{ '{:>3}'.format(2) }}{{ 'a' | center(3) }}{{ '%s' | format(3) }}", "a-1  2 a 3"),
        ("{{ {'b': 1, 'a': 2} | tojson(sort_keys=true, separators=(',', ':')) }}", '{"a":2,"b":1}'),
        ("{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}", "21"),
        ("{{ messages[0].missing }}{{ messages[0]['missing'] is defined }}", "False"),
    ],
)
def test_what_templates_use(source: str, text: str | None) -> None:
    if text is None:
        with pytest.raises(Q4Error, match="cannot be used"):
            render(source)
    else:
        assert render(source) == text


def test_strftime_now() -> None:
    assert re.fullmatch(r"\d\d \w{3} 20\d\d %", render("{{ strftime_now('%d %b %Y %%') }}"))


def test_the_tag_of_training() -> None:
    source = (
        '{% for m in messages %}{% if m.role == "assistant" %}{% generation %}<{{ m.content }}>{% endgeneration %}'
        "{% else %}{{ m.content }}{% endif %}{% endfor %}"
    )
    assert render(source) == "Be brief. Hi! <Hello.>Bye"


def test_text_of_any_kind() -> None:
    content = "é 一 😀 \ud800 \0 \r\n"
    assert render("{{ messages[0].content }}", [{"role": "user", "content": content}]) == content


def test_a_long_chat_is_no_hostile_one() -> None:
    content = "All happy families are alike. " * 20_000  # 600 KB
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": "x"}] * 2
    messages += [{"role": "user", "content": "short"}, {"role": "assistant", "content": "y"}] * 400
    assert len(render(LLAMA2, messages)) > 1_200_000


def test_stand_ins(tmp_path: Path) -> None:
    chatml = {"<|im_start|>": CONTROL, "<|im_end|>": CONTROL}
    for special, note, text in (
        (chatml, "using ChatML", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"),
        ({}, "using the prompt as it is", "Hi"),
    ):
        gguf = bpe_file(tmp_path, [], special)
        template = ChatTemplate.from_gguf(gguf, Tokenizer.from_gguf(gguf))
        assert template.note is not None and note in template.note and str(gguf.path) in template.note
        assert template.render([{"role": "user", "content": "Hi"}]) == text
        assert template.is_plain == (not special)


def test_the_files_own_template(tmp_path: Path) -> None:
    source = "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}"
    gguf = bpe_file(tmp_path, [], {"<s>": CONTROL}, chat_template=source, bos_token_id=256)
    template = ChatTemplate.from_gguf(gguf, Tokenizer.from_gguf(gguf))
    assert template.note is None
    assert template.render([{"role": "user", "content": "Hi"}]) == "<s>Hi"


def test_a_template_that_is_no_string(tmp_path: Path) -> None:
    gguf = bpe_file(tmp_path, [], chat_template=7)
    with pytest.raises(Q4Error, match=r"'tokenizer\.chat_template' is of type UINT32, expected a string"):
        ChatTemplate.from_gguf(gguf, Tokenizer.from_gguf(gguf))


def test_named_templates(tiny: Path, tmp_path: Path) -> None:
    with GGUFFile.open(tiny) as file:
        tokenizer = Tokenizer.from_gguf(file)
    talk = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "ho"},
        {"role": "user", "content": "bye"},
    ]
    bos = eos = "<|endoftext|>"
    eos = tokenizer.vocabulary.tokens[tokenizer.vocabulary.eos_id or 0]
    expected = {
        "chatml": "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
        "<|im_start|>assistant\nho<|im_end|>\n<|im_start|>user\nbye<|im_end|>\n<|im_start|>assistant\n",
        "gemma": f"{bos}<start_of_turn>user\nbe brief\n\nhi<end_of_turn>\n<start_of_turn>model\nho<end_of_turn>\n"
        "<start_of_turn>user\nbye<end_of_turn>\n<start_of_turn>model\n",
        "llama3": f"{bos}<|start_header_id|>system<|end_header_id|>\n\nbe brief<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nho<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nbye<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        "phi3": "<|system|>\nbe brief<|end|>\n<|user|>\nhi<|end|>\n<|assistant|>\nho<|end|>\n<|user|>\nbye<|end|>\n"
        "<|assistant|>\n",
        "zephyr": f"<|system|>\nbe brief{eos}\n<|user|>\nhi{eos}\n<|assistant|>\nho{eos}\n<|user|>\nbye{eos}\n"
        "<|assistant|>\n",
    }
    assert expected.keys() == NAMED.keys()
    for name, text in expected.items():
        assert ChatTemplate.named(name, tokenizer).render(talk) == text
    path = tmp_path / "mine.jinja"
    path.write_text("{{ messages[0].content }}!")
    assert ChatTemplate.named(str(path), tokenizer).render(talk) == "be brief!"
    for raw, message in (
        (b"{{ if .System }}{{ .Prompt }}", "is a template of Ollama's (Go); give one in Jinja"),
        (b"{{- range .Messages }}", "is a template of Ollama's (Go); give one in Jinja"),
        (b"{{ nope", "is no valid template: "),
        (b"\xff", "is no text in UTF-8, expected a template in Jinja"),
    ):
        path.write_bytes(raw)
        with pytest.raises(Q4Error, match=re.escape(f"{path}: {message}")):
            ChatTemplate.named(str(path), tokenizer)
    names = "chatml, gemma, llama3, phi3, zephyr"
    with pytest.raises(Q4Error, match=f"^nope: no such chat template, expected a file or one of {names}$"):
        ChatTemplate.named("nope", tokenizer)


def test_a_template_with_a_generation_tag(shared_data: Path) -> None:
    """transformers marks what is learnt by it; rendering gives its body."""
    source = (shared_data / "field" / "13-generation-tag-minimal.jinja").read_text()
    assert "{% generation %}" in source
    assert render(source) == "Be brief. Hi! Hello.Bye"
