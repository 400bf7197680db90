"""Chat templates: what real ones need works, what hostile ones try ends in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from vocab_files import CONTROL, bpe_file

from q4engine.errors import Q4Error
from q4engine.tokenizer import ChatTemplate, Tokenizer
from q4engine.tokenizer.template_sandbox import MAX_CHARS, MAX_ITEMS

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


DOUBLING = "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(99) %}%s{% endfor %}{{ ns.x | length }}"
HOSTILE = {
    "a huge range": ("{% for i in range(10**12) %}{% endfor %}", "range of 1000000000000 numbers"),
    "nested loops": ("{% for i in range(99999) %}" * 3 + "x" + "{% endfor %}" * 3, "more than 4000000 steps"),
    "nested loops without output": (
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "more than 4000000 steps",
    ),
    "nested loops that skip everything": (
        "{% for i in range(99999) %}{% for j in range(99999) if false %}{% endfor %}{% endfor %}",
        "more than 4000000 steps",
    ),
    "a string product": ("{{ 'a' * 10**10 }}", f"string of more than {MAX_CHARS} characters"),
    "a product the other way round": ("{{ 10**10 * 'a' }}", f"string of more than {MAX_CHARS} characters"),
    "a list product": ("{{ ([1] * 10**9) | length }}", "more than"),
    "a tower of powers": ("{{ 9**9**9**9 }}", "integer of more than 256 bits"),
    "squaring": (
        "{% set ns = namespace(x=9) %}{% for i in range(99) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
        "integer of more than 256 bits",
    ),
    "doubling with +": (DOUBLING.replace("%s", "{% set ns.x = ns.x + ns.x %}"), "string of more than"),
    "doubling with ~": (DOUBLING.replace("%s", "{% set ns.x = ns.x ~ ns.x %}"), "string of more than"),
    "doubling with join": (DOUBLING.replace("%s", "{% set ns.x = [ns.x, ns.x] | join %}"), "string of more than"),
    "doubling with str.join": (DOUBLING.replace("%s", "{% set ns.x = ns.x.join(['', '', ns.x]) %}"), "string of more"),
    "doubling with replace": (DOUBLING.replace("%s", "{% set ns.x = ns.x.replace('a', 'aa') %}"), "string of more"),
    "doubling with the filter": (
        DOUBLING.replace("%s", "{% set ns.x = ns.x | replace('a', 'aa') %}"),
        "string of more",
    ),
    "doubling with replace at nothing": (
        DOUBLING.replace("%s", "{% set ns.x = ns.x.replace('', ns.x) %}"),
        "string of more than",
    ),
    "doubling with a block": (
        "{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}"
        "{% set ns.x = y %}{% endfor %}",
        "string of more than",
    ),
    "doubling with a macro": (
        "{% macro f(x, n) %}{{ f(x, n - 1) if n else x }}{{ f(x, n - 1) if n else x }}{% endmacro %}{{ f('a', 60) }}",
        "steps",
    ),
    "doubling with map": (
        DOUBLING.replace("%s", "{% set ns.x = [ns.x] | map('replace', 'a', 'aa') | first %}"),
        "string of more than",
    ),
    "doubling with indent": ("{{ '\n\n\n' | indent(10**9) }}", "string of more than"),
    "wide JSON": ("{{ [1] | tojson(indent=10**9) }}", "JSON indented by 1000000000"),
    "a nest of pairs": (
        "{% set ns = namespace(x=[]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
        f"collection of more than {MAX_ITEMS} items",
    ),
    "a nest of dicts": (
        "{% set ns = namespace(x=1) %}{% for i in range(99) %}{% set ns.x = {'a': ns.x, 'b': ns.x} %}{% endfor %}",
        f"collection of more than {MAX_ITEMS} items",
    ),
    "a nest by dict()": (
        "{% set ns = namespace(x=1) %}{% for i in range(99) %}{% set ns.x = dict(a=ns.x, b=ns.x) %}{% endfor %}",
        f"collection of more than {MAX_ITEMS} items",
    ),
    "two nests compared": (
        "{% set ns = namespace(x=(1,), y=(1,)) %}{% for i in range(99) %}{% set ns.x = (ns.x, ns.x) %}"
        "{% set ns.y = (ns.y, ns.y) %}{% endfor %}{{ ns.x == ns.y }}",
        f"collection of more than {MAX_ITEMS} items",
    ),
    "a nest of lists summed up": (
        "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        f"collection of more than {MAX_ITEMS} items",
    ),
    "long searches": (
        "{% set x = 'a' * 4000000 %}{% for i in range(99999) %}{% if 'b' in x %}{% endif %}{% endfor %}",
        "more than 4000000 steps",
    ),
    "long slices": (
        "{% set x = 'a' * 4000000 %}{% for i in range(99999) %}{% set y = x[1:] %}{% endfor %}",
        "more than 4000000 steps",
    ),
    "long strings kept": (
        "{% set ns = namespace(x=0) %}{% for i in range(99999) %}{% set ns.x = namespace(x=ns.x, y='a' * 4000000) %}"
        "{% endfor %}",
        "more than 4000000 steps",
    ),
    "long slices kept": (
        "{% set a = 'a' * 4000000 %}{% set ns = namespace(x=0) %}{% for i in range(99999) %}"
        "{% set ns.x = namespace(x=ns.x, y=a[1:]) %}{% endfor %}",
        "more than 4000000 steps",
    ),
    "many references to a long string": ("{{ (['a' * 4000000] * 9) | sort | length }}", "string of more than"),
    "long integers": ("{{ ('1' * 4000000) | int(base=2) }}", "integer of more than 256 bits"),
    "long sorts": (
        "{% set x = range(99999) | list %}{% for i in range(99999) %}{% set y = x | sort %}{% endfor %}",
        "more than 4000000 steps",
    ),
    "long output": ("{% for i in range(99999) %}" + "x" * 5000 + "{% endfor %}", "string of more than"),
    "recursion": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "nests too deeply"),
    "deep parentheses": ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "tokenizer.chat_template"),
    "many nested blocks": ("{% if 1 %}" * 300 + "{% endif %}" * 300, "tokenizer.chat_template"),
    "attributes": ("{{ ''.__class__ }}", "reaches for the attribute '__class__' of a str"),
    "attributes by subscript": ("{{ ''['__class__'] }}", "reaches for the attribute '__class__' of a str"),
    "attributes by filter": ("{{ [''] | map(attribute='__class__') | list }}", "'__class__'"),
    "attributes of functions": ("{{ raise_exception.__globals__ }}", "'__globals__'"),
    "the attr filter": ("{{ '' | attr('__class__') }}", "No filter named 'attr'"),
    "mutation": ("{% set x = [1] %}{{ x.append(2) }}", "reaches for the attribute 'append' of a list"),
    "str.format": ("{{ '{:>999999999}'.format(1) }}", "calls str.format"),
    "str.format through map": ("{{ ['{:>9}'] | map('format', 1) | list }}", "No filter named 'format'"),
    "% formatting": ("{{ '%999999999d' % 1 }}", "formats a string with %"),
    "padding": ("{{ 'a'.ljust(10**10) }}", "calls str.ljust"),
    "centering": ("{{ 'a' | center(10**10) }}", "No filter named 'center'"),
    "bytes": ("{{ (1).to_bytes(10**10, 'big') }}", "calls int.to_bytes"),
    "lorem ipsum": ("{{ lipsum(n=10**9) }}", "cannot be used"),
    "wide dates": ("{{ strftime_now('%1000000000d') }}", "strftime_now takes no format"),
    "files": ("{% include '/etc/passwd' %}", "cannot be used"),
    "imports": ("{% import 'os' as os %}{{ os }}", "cannot be used"),
    "objects printed": ("{{ messages[0].items }}", "prints a builtin_function_or_method"),
    "metering by its name": ("{{ 1 | q4 step }}", "is no valid template"),
    "syntax": ("{% for %}", "is no valid template"),
    "an unknown tag": ("{% frob %}", "is no valid template: Encountered unknown tag 'frob'"),
    "an unfinished block": ("{% if true %}", "is no valid template"),
    "a missing message": ("{{ messages[99].content }}", "cannot be used"),
    "division by zero": ("{{ 1 // 0 }}", "cannot be used"),
    "a very long source": ("x" * (1 << 16) + "x", "characters long"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_template(name: str) -> None:
    source, message = HOSTILE[name]
    with pytest.raises(Q4Error, match=re.escape(message)) as caught:
        render(source)
    text = str(caught.value)
    assert text.startswith("synthetic.gguf: key 'tokenizer.chat_template' ") and "\n" not in text and len(text) < 500


def test_a_long_chain_of_elif_is_no_traceback() -> None:
    """Pythons differ in how deep a source they compile; none may end in anything but text or one line."""
    source = "{% if a %}" + "{% elif a %}" * 5000 + "{% endif %}ok"
    try:
        assert render(source) == "ok"
    except Q4Error as error:
        assert str(error) == "synthetic.gguf: key 'tokenizer.chat_template' is no valid template: it nests too deeply"


def test_a_long_chat_is_no_hostile_one() -> None:
    content = "All happy families are alike. " * 20_000  # 600 KB
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": "x"}] * 2
    messages += [{"role": "user", "content": "short"}, {"role": "assistant", "content": "y"}] * 400
    assert len(render(LLAMA2, messages)) > 1_200_000


def test_each_rendering_has_its_own_budget() -> None:
    template = ChatTemplate("synthetic.gguf", "{% for i in range(90000) %}{% endfor %}ok", {})
    assert [template.render([]) for _ in range(30)] == ["ok"] * 30


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
