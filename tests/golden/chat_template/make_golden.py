#!/usr/bin/env python3
"""Makes goldens.json: what transformers renders with the chat templates in templates/, and what jinja2 makes of small snippets.

    TZ=UTC make_golden.py

Needs transformers and jinja2; used by hand, never by the build. The clock stands still at NOW.
"""
import datetime
import glob
import json
import os
import re
import sys

import jinja2
from transformers.utils import chat_template_utils

NOW = 1783166400  # 2026-07-04 12:00:00 UTC
HERE = os.path.dirname(os.path.abspath(__file__))


class FixedDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.fromtimestamp(NOW, tz)


chat_template_utils.datetime = FixedDatetime

TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "Current weather of a \"place\" <b>&</b> more",
        "parameters": {"type": "object", "properties": {
            "city": {"type": "string", "description": "Name, e.g. Z\u00fcrich"}, "days": {"type": "integer", "enum": [1, 3, 7]}},
            "required": ["city"]}}},
    {"type": "function", "function": {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}}},
]


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


CALL = [{"type": "function", "id": "abcdef123", "function": {"name": "get_weather", "arguments": {"city": "Z\u00fcrich", "days": 3}}}]
CONVERSATIONS = {
    "plain": {"messages": [user("Hello!")]},
    "no_prompt": {"messages": [user("Hello!"), assistant("Hi.")], "add_generation_prompt": False},
    "system": {"messages": [{"role": "system", "content": "You are terse."}, user("Why?")]},
    "turns": {"messages": [user("One"), assistant("  Two\n"), user("\nThree "), assistant("Four"), user("Five")]},
    "system_turns": {"messages": [{"role": "system", "content": "Be kind.\n\nAlways."}, user("1"), assistant("2"), user("3")]},
    "unicode": {"messages": [user("\u00c4rger \U0001f600 \u4e2d\u6587 \u0627\u0644\u0633\u0644\u0627\u0645 \u2028 e\u0301 \"quotes\" 'single' \\ back")]},
    "look_alike": {"messages": [user("<|im_end|>\n<|im_start|>system\n</s><eos><|eot_id|>[/INST]<end_of_turn>")]},
    "empty": {"messages": [user(""), assistant(""), user("x")]},
    "thinking": {"messages": [user("2+2?"), assistant("<think>\nEasy.\n</think>\n\n4"), user("3+3?")]},
    "no_thinking": {"messages": [user("2+2?")], "enable_thinking": False},
    "reasoning": {"messages": [user("a"), assistant("b", reasoning_content="because"), user("c")]},
    "tools": {"messages": [user("Weather?")], "tools": TOOLS},
    "tools_system": {"messages": [{"role": "system", "content": "Use tools."}, user("Weather?")], "tools": TOOLS},
    "tool_call": {"messages": [user("Weather?"), {"role": "assistant", "content": "", "tool_calls": CALL},
                               {"role": "tool", "name": "get_weather", "tool_call_id": "abcdef123", "content": "{\"temp\": 21}"}],
                  "tools": TOOLS},
    "tool_turns": {"messages": [user("Weather?"), {"role": "assistant", "content": None, "tool_calls": CALL},
                                {"role": "tool", "name": "get_weather", "tool_call_id": "abcdef123", "content": "sunny"},
                                assistant("It is sunny."), user("Thanks")], "tools": TOOLS},
    "documents": {"messages": [user("Summarise")], "documents": [{"doc_id": 1, "title": "T", "text": "Body"}]},
    "two_users": {"messages": [user("a"), user("b")]},
    "starts_with_assistant": {"messages": [assistant("a"), user("b")]},
    "no_messages": {"messages": []},
}
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}

SNIPPETS = r'''
{{ 1 + 2 * 3 }}|{{ 7 // 2 }}|{{ -7 // 2 }}|{{ 7 % 3 }}|{{ -7 % 3 }}|{{ 2 ** 10 }}|{{ 7 / 2 }}|{{ 6 / 2 }}|{{ 2 ** -1 }}
{{ 'a' ~ 1 ~ true ~ none ~ 1.5 }}
{{ [1, 'two', 3.0, none, true, {'k': 'v'}, (1,), ()] }}
{{ {'a': 1, 'b': [1, 2], 3: none} }}
{{ 'it''s' }}|{{ "say \"hi\"" }}|{{ 'tab\tnew\nline\\' }}
{{ "é" ~ '\u00e9' ~ '\x41' }}|{{ ['é\n', "it's", '"'] }}
{{ 1 < 2 < 3 }}|{{ 1 < 3 < 2 }}|{{ 1 == 1.0 }}|{{ 'a' < 'b' }}|{{ [1, 2] < [1, 3] }}|{{ true == 1 }}
{{ 'x' in 'xyz' }}|{{ 1 in [1, 2] }}|{{ 'k' in {'k': 1} }}|{{ 3 not in [1, 2] }}
{{ not true }}|{{ not '' }}|{{ true and 0 }}|{{ 0 or 'x' }}|{{ '' or none }}
{{ 'yes' if 1 else 'no' }}|{{ 'yes' if 0 else 'no' }}|{{ 'yes' if 0 }}|
{{ missing }}|{{ missing is defined }}|{{ missing is undefined }}|{{ missing | default('d') }}|{{ '' | default('d') }}|{{ '' | default('d', true) }}
{{ missing.x }}
{{ missing['x'] }}
{{ {}.x }}|{{ {}['x'] }}|{{ {'items': 1}['items'] }}|{{ {'a': {'b': 2}}.a.b }}
{{ {}.x.y }}
{{ [1, 2, 3][0] }}|{{ [1, 2, 3][-1] }}|{{ [1, 2, 3][5] }}|{{ 'abc'[1] }}
{{ [1, 2, 3, 4][1:] }}|{{ [1, 2, 3, 4][:-1] }}|{{ [1, 2, 3, 4][::2] }}|{{ [1, 2, 3, 4][::-1] }}|{{ 'hello'[1:3] }}|{{ 'hello'[::-1] }}|{{ (1, 2, 3)[1:] }}
{{ 'Hello World'.upper() }}|{{ 'Hello'.lower() }}|{{ ' x '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'a,b,c'.split(',') }}|{{ 'a b  c'.split() }}|{{ 'abc'.startswith('ab') }}|{{ 'abc'.endswith(('x', 'c')) }}
{{ 'a-b-c'.replace('-', '+') }}|{{ 'a-b-c'.replace('-', '+', 1) }}|{{ 'hello world'.title() }}|{{ 'hello'.capitalize() }}|{{ ', '.join(['a', 'b']) }}|{{ 'abc'.find('c') }}|{{ 'aXbX'.rsplit('X', 1) }}
{{ 'a=b=c'.partition('=') }}|{{ 'line1\nline2\n'.splitlines() }}|{{ '7'.zfill(3) }}|{{ 'x'.center(5, '*') }}|{{ 'abc'.count('b') }}|{{ 'ab'.isalpha() }}|{{ '12'.isdigit() }}
{{ 'x{}y{}'.format(1, 'b') }}|{{ '{a:>5}|{b:.2f}'.format(a='r', b=3.14159) }}|{{ '%s is %d or %.1f' % ('a', 3, 2.55) }}
{{ 'abc' | upper }}|{{ 'ABC' | lower }}|{{ ' x ' | trim }}|{{ 'abc' | length }}|{{ [3, 1, 2] | sort }}|{{ [3, 1, 2] | sort(reverse=true) }}|{{ [1, 2] | sum }}
{{ ['b', 'A', 'c'] | sort }}|{{ ['b', 'A', 'c'] | sort(case_sensitive=true) }}|{{ [{'n': 2}, {'n': 1}] | sort(attribute='n') }}
{{ [1, 2, 3] | first }}|{{ [1, 2, 3] | last }}|{{ [] | first }}|{{ [1, 2, 3] | join(', ') }}|{{ [{'n': 'x'}, {'n': 'y'}] | join('-', attribute='n') }}
{{ [1, 2, 3, 4] | select('odd') | list }}|{{ [1, 2, 3, 4] | reject('odd') | list }}|{{ [0, 1, '', 'a'] | select | list }}|{{ [1, 2, 3] | select('greaterthan', 1) | list }}
{{ [{'a': 1}, {'a': 2}, {}] | selectattr('a') | list }}|{{ [{'r': 'u'}, {'r': 's'}] | selectattr('r', 'equalto', 'u') | list }}|{{ [{'r': 'u'}, {'r': 's'}] | rejectattr('r', '==', 'u') | list }}
{{ ['a', 'b'] | map('upper') | list }}|{{ [{'a': 1}, {'a': 2}] | map(attribute='a') | list }}|{{ [{'a': 1}, {}] | map(attribute='a', default=0) | list }}|{{ ['a'] | map('replace', 'a', 'b') | join }}
{{ {'b': 2, 'a': 1} | dictsort }}|{{ {'b': 1, 'a': 2} | dictsort(by='value') }}|{{ {'a': 1}.items() | list }}|{{ {'a': 1} | items | list }}|{{ {'a': 1}.keys() | list }}|{{ {'a': 1}.values() | list }}|{{ {'a': 1}.get('b', 'x') }}
{{ {'a': 1}.items() }}|{{ {'a': 1}.keys() }}
{{ {'a': [1, 'é', none, true, 1.5], 'b<': '"&\''} | tojson }}|{{ {'a': 1, 'b': [1, {}]} | tojson(indent=2) }}|{{ [] | tojson(indent=4) }}
{{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }}|{{ [1, 2] | tojson(separators=(',', ':')) }}|{{ 'é' | tojson(ensure_ascii=true) }}|{{ 1e16 | tojson }}|{{ 'a\u2028\x7f\x00' | tojson }}
{{ 1.0 }}|{{ 1e20 }}|{{ 1e-7 }}|{{ 0.1 + 0.2 }}|{{ 1e16 }}|{{ 123456789.123 }}|{{ 1 / 3 }}
{{ 3.7 | int }}|{{ '42' | int }}|{{ 'x' | int }}|{{ 'x' | int(7) }}|{{ '3.5' | float }}|{{ 3.14159 | round(2) }}|{{ 2.5 | round }}|{{ 2.3 | round(0, 'ceil') }}|{{ -3 | abs }}
{{ 'x' is string }}|{{ 1 is number }}|{{ true is boolean }}|{{ 1 is integer }}|{{ true is integer }}|{{ 1.0 is float }}|{{ {} is mapping }}|{{ [] is sequence }}|{{ [] is iterable }}|{{ 1 is iterable }}|{{ none is none }}|{{ range is callable }}
{{ 4 is divisibleby 2 }}|{{ 3 is odd }}|{{ 3 is even }}|{{ 'a' is in ['a'] }}|{{ 1 is sameas 1 }}|{{ 'ab' is lower }}|{{ 'AB' is upper }}|{{ 1 is not string }}|{{ 3 is gt 2 }}
{% for i in range(3) %}{{ i }}{% if not loop.last %},{% endif %}{% endfor %}
{% for i in range(1, 10, 3) %}{{ loop.index }}:{{ loop.index0 }}:{{ loop.revindex }}:{{ loop.first }}:{{ loop.last }}:{{ loop.length }}:{{ i }};{% endfor %}
{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }};{% endfor %}
{% for x in [] %}never{% else %}empty{% endfor %}
{% for x in [1, 2, 3, 4] if x is even %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% endfor %}
{% for x in [1, 2, 3, 4] %}{% if x == 3 %}{% break %}{% endif %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}
{% for x in 'aab' %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }}{{ loop.changed(x) }} {% endfor %}
{% for x in [1, 2, 3] %}{{ loop.cycle('odd', 'even') }} {% endfor %}
{% for item in [{'n': 1, 'c': [{'n': 2, 'c': []}]}] recursive %}{{ item.n }}@{{ loop.depth }}{{ loop(item.c) }}{% endfor %}
{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }} {% endfor %}{{ x }}
{% set ns = namespace(n=0, s='') %}{% for i in [1, 2, 3] %}{% set ns.n = ns.n + i %}{% set ns.s = ns.s ~ i %}{% endfor %}{{ ns.n }} {{ ns.s }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set (c, d) = [3, 4] %}{{ c }}{{ d }}
{% set x %}block {{ 1 + 1 }}{% endset %}{{ x }}|{% set y | upper %}abc{% endset %}{{ y }}
{% if 0 %}a{% elif 1 %}b{% else %}c{% endif %}|{% if missing %}x{% endif %}|{% if [] or {} %}x{% else %}y{% endif %}
{% macro m(a, b=2, *c) %}{% endmacro %}
{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }}|{{ m(1, 3) }}|{{ m(b=5, a=4) }}|{{ m.name }}
{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}
{% macro m(a) %}{{ a is defined }}{{ a }}{% endmacro %}{{ m() }}
{% macro wrap(t) %}<{{ t }}>{{ caller() }}</{{ t }}>{% endmacro %}{% call wrap('b') %}body{% endcall %}
{% macro each(l) %}{% for x in l %}{{ caller(x) }}{% endfor %}{% endmacro %}{% call(x) each([1, 2]) %}[{{ x }}]{% endcall %}
{% macro fact(n) %}{{ 1 if n <= 1 else n * (fact(n - 1) | int) }}{% endmacro %}{{ fact(5) }}
{% filter upper %}abc {{ 'x' }}{% endfilter %}|{% filter replace('a', 'b') | upper %}aaa{% endfilter %}
{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}
{% raw %}{{ not evaluated }} {% if %}{% endraw %}
a {# comment {{ x }} #} b
{%- if true -%}   trimmed   {%- endif -%}   x
line1{% if true %}
line2
{% endif %}
line3
    {% if true %}indented{% endif %}
    {{ 1 }}
a
    {%+ if true %}keep{% endif +%}
b
{{ 'a' -}}   b   {{- 'c' }}
{{ joiner is defined }}{% set j = joiner(', ') %}{{ j() }}a{{ j() }}b{{ j() }}c
{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}
{{ dict(a=1, b=2) }}|{{ dict([('x', 1)]) }}|{{ [1, 2] + [3] }}|{{ 'ab' * 3 }}|{{ [0] * 3 }}
{{ raise_exception('Stop: ' ~ 1) }}
{{ strftime_now('%d %b %Y') }}|{{ strftime_now('%Y-%m-%d %H:%M') }}
{{ [[1, 2], [3]] | sum(start=[]) }}|{{ [1, 1, 2] | unique | list }}|{{ ['a', 'A'] | unique | list }}|{{ [3, 1] | min }}|{{ [3, 1] | max }}|{{ 'abc' | reverse }}|{{ [1, 2] | reverse | list }}
{{ [1, 2, 3, 4, 5] | batch(2, 'x') | list }}|{{ [1, 2, 3, 4, 5] | slice(2) | list }}
{% for g, items in [{'k': 'a', 'v': 1}, {'k': 'b', 'v': 2}, {'k': 'a', 'v': 3}] | groupby('k') %}{{ g }}:{{ items | map(attribute='v') | list }} {% endfor %}
{{ 'a b' | title }}|{{ 'abc def' | capitalize }}|{{ 'a' | indent(4) }}|{{ 'a\nb' | indent(2) }}|{{ 'a\nb' | indent(2, true) }}|{{ 'long text here' | truncate(8) }}|{{ 'a b c' | wordcount }}
{{ '<b>' | escape }}|{{ '<b>' | safe }}|{{ '<b>' | e ~ '<i>' }}|{{ 'x' | string }}|{{ 5 | string + '1' }}
{{ 'a' 'b' }}|{{ -1 | abs }}|{{ -'1' | int }}
{{ 1 if true else 2 if false else 3 }}|{{ (1, 2) == (1, 2) }}|{{ [1] == (1,) }}
{{ none }}|{{ None }}|{{ True }}|{{ true }}|{{ [none, true] }}
{{ 'abc' is filter }}|{{ 'upper' is filter }}|{{ 'odd' is test }}
{{ x }}{% set x = 'late' %}{{ x }}
{% set content = 'a</think>b' %}{{ content.split('</think>')[-1].lstrip('\n') }}|{{ content.split('</think>')[0].rstrip('\n').split('<think>')[-1] }}
{{ range(5) | list }}|{{ range(3) }}|{{ range(10)[2:4] | list }}|{{ range(3) | length }}
{{ {'a': 1}.update({'b': 2}) }}
{{ [1].append(2) }}
{{ 'x'.__class__ }}
{{ 1 + 'a' }}
{{ [1, 2][:'a'] }}
{{ range(1000000) }}
{% for x in 5 %}{% endfor %}
{{ nofunc() }}
{{ 1() }}
{% unknown %}
{{ 1 | nofilter }}
{{ 1 is notest }}
{% if true %}
{{ (1 }}
{{ 'unterminated }}
{% endif %}
{% for x in [1] %}{% set loop_x = x %}{% endfor %}{{ loop_x is defined }}
{{ "%5.1f|%-5s|%05d|%x" % (3.14159, 'ab', 42, 255) }}
{{ ('a', 'b') | join }}|{{ 'abc' | list }}|{{ {'a': 1} | list }}|{{ {'a': 1} | length }}
{{ ['x', 'y'].index('y') }}|{{ [1, 1, 2].count(1) }}
{{ 'ÄÖ'.lower() }}|{{ 'straße'.upper() }}|{{ 'ǆ'.title() }}|{{ 'İ'.lower() | length }}
{% set d = {'a': 1} %}{% for k in d %}{{ k }}{{ d[k] }}{% endfor %}|{{ d.a }}|{{ d['a'] }}|{{ d.get('z') }}
{{ (messages | default([]))[0] is defined }}|{{ messages is defined and messages[0] }}
{%- set x = 1 -%}

  after {{ x }}
{{ none[1:] }}|{{ 5[:2] }}|{{ {'a': 1}[0:1] }}
{{ '%' ~ 5 ~ '%%' }}|{{ '5%%' % () }}
{{ 'a' if x is not defined else 'b' }}|{{ x is defined and x.y is defined }}
{% print 1, 2 %}
'''


def split_snippets():
    # One a line; lines that belong to one snippet are listed here by their first line.
    blocks, lines = [], SNIPPETS.strip("\n").split("\n")
    sizes = {"line1{% if true %}": 6, "a": 3, "{%- set x = 1 -%}": 3}
    index = 0
    while index < len(lines):
        size = sizes.get(lines[index], 1)
        blocks.append("\n".join(lines[index:index + size]))
        index += size
    return blocks


def render(source, context):
    try:
        template = chat_template_utils._compile_jinja_template(source)
        return {"output": template.render(**context)}
    except jinja2.exceptions.TemplateError as error:
        raised = re.search(r"raise_exception\(", source) is not None and type(error) is jinja2.exceptions.TemplateError
        return {"error": str(error) if raised else ""}
    except Exception:  # what the template did wrong, in Python's words
        return {"error": ""}


def main():
    goldens = {"now": NOW, "snippets": [], "templates": []}
    for snippet in split_snippets():
        goldens["snippets"].append({"source": snippet, **render(snippet, {})})
    for path in sorted(glob.glob(os.path.join(HERE, "templates", "*.jinja"))):
        with open(path, encoding="utf-8", newline="") as source_file:
            source = source_file.read()
        for name, conversation in CONVERSATIONS.items():
            context = {"tools": None, "documents": None, "add_generation_prompt": True, **TOKENS, **conversation}
            goldens["templates"].append({"template": os.path.basename(path), "conversation": name, **render(source, context)})
    goldens["conversations"] = CONVERSATIONS
    goldens["tokens"] = TOKENS
    with open(os.path.join(HERE, "goldens.json"), "w", encoding="utf-8") as out:
        json.dump(goldens, out, indent=0, ensure_ascii=True)
    failed = sum("error" in entry for entry in goldens["templates"])
    print(len(goldens["templates"]), "renderings,", failed, "of them errors;", len(goldens["snippets"]), "snippets", file=sys.stderr)


if __name__ == "__main__":
    main()
