#!/usr/bin/env python3
"""Writes unicode_tables.inc: what Python's str methods say about each code point.

The template language is Python's, so Python is the source: run `python3 make_unicode_tables.py > unicode_tables.inc`.
"""
import sys
import unicodedata

LAST = 0x110000
SURROGATES = range(0xD800, 0xE000)


def code_points():
    return (c for c in range(LAST) if c not in SURROGATES)


def emit_ranges(name, predicate):
    ranges = []
    for c in code_points():
        if not predicate(chr(c)):
            continue
        if ranges and ranges[-1][1] == c - 1:
            ranges[-1][1] = c
        else:
            ranges.append([c, c])
    emit(f"constexpr Range k{name}[]", [f"{{{a:#x}, {b:#x}}}" for a, b in ranges])


def emit(declaration, items):
    print(f"{declaration} = {{")
    line = "   "
    for item in items:
        if len(line) + len(item) + 2 > 100:
            print(line)
            line = "   "
        line += f" {item},"
    print(line)
    print("};\n")


def emit_case(name, convert):
    """Single code points as ranges with one delta and a step of 1 or 2; the rest spelled out."""
    ranges, special = [], []
    for c in code_points():
        mapped = convert(chr(c))
        if mapped == chr(c):
            continue
        if len(mapped) > 1:
            special.append((c, mapped))
            continue
        delta = ord(mapped) - c
        if ranges:
            first, last, step, last_delta = ranges[-1]
            gap = c - last
            if delta == last_delta and (gap == step or (first == last and gap in (1, 2))):
                ranges[-1] = (first, c, gap, delta)
                continue
        ranges.append((c, c, 1, delta))
    emit(f"constexpr CaseRange k{name}[]", [f"{{{a:#x}, {b:#x}, {s}, {d}}}" for a, b, s, d in ranges])
    emit(f"constexpr CaseSpecial k{name}Special[]",
         [f"{{{c:#x}, {{{', '.join(hex(ord(x)) for x in m)}}}}}" for c, m in special])


def is_case_ignorable(ch):
    # Python keeps this property to itself, but its final-sigma rule shows it: a case-ignorable character between a letter
    # and a capital sigma is skipped, another one is not.
    return ("A" + ch + "\u03a3").lower()[-1] == "\u03c2" and not is_cased(ch)


def is_cased(ch):
    return (ch + "\u03a3").lower()[-1] == "\u03c2"


print(f"// Made by make_unicode_tables.py from Python {sys.version.split()[0]}, Unicode {unicodedata.unidata_version}.")
print("// clang-format off\n")
emit_ranges("Alpha", str.isalpha)
emit_ranges("Decimal", str.isdecimal)
emit_ranges("Digit", str.isdigit)
emit_ranges("Numeric", str.isnumeric)
emit_ranges("Space", str.isspace)
emit_ranges("Printable", str.isprintable)
emit_ranges("Lowercase", str.islower)
emit_ranges("Uppercase", str.isupper)
emit_ranges("Titlecase", lambda ch: unicodedata.category(ch) == "Lt")
emit_ranges("Cased", is_cased)
emit_ranges("CaseIgnorable", is_case_ignorable)
emit_ranges("IdentifierStart", str.isidentifier)
emit_ranges("IdentifierPart", lambda ch: ("a" + ch).isidentifier())
emit_case("Lower", str.lower)
emit_case("Upper", str.upper)
emit_case("Title", str.title)
print("// clang-format on")
