# SPDX-License-Identifier: Apache-2.0
"""Breaks lines of C that are longer than 100 columns, where clang-format does it badly or not at all.

Comments keep their shape: words that do not fit move to the line below, under the same hanging
indentation, and a comment behind code goes on below itself.  Strings are broken at a blank, or behind
punctuation.  What is left is code, which clang-format can break.
"""
import re

COLUMNS = 100
NARROW = 28  # a comment behind code that has less room than this goes above the code

# /* or * at the beginning of a line, then the text; a key in front of a hanging paragraph: "Threads  all of it"
COMMENT = re.compile(r'^(\s*)(/\*|\*(?!/))( *)(.*)$')
KEY = re.compile(r'^([^\s.,;:!?)"`]+(?: [^\s.,;:!?)"`]+)?\s{2,})\S')


def split_at_columns(text, room):
    """The words that fit into `room` columns, and the rest; never leaves a closing mark alone."""
    if len(text) <= room:
        return text, ''
    at = text.rfind(' ', 0, room + 1)
    # Two blanks behind a full stop belong to the break.
    if at <= 0 or text[at:].strip() == '*/' and (at := text.rfind(' ', 0, at)) <= 0:
        return text, ''
    return text[:at].rstrip(), text[at:].strip()


def hanging(prefix_width, text):
    """Column where the continuation of this line of a comment begins."""
    key = KEY.match(text)
    return prefix_width + (len(key.group(1)) if key else 0)


def in_comment(lines, i):
    """Is line i the inside of a block comment that begins above?"""
    for j in range(i - 1, max(i - 120, -1), -1):
        opened, closed = lines[j].rfind('/*'), lines[j].rfind('*/')
        if opened != closed:
            return opened > closed
    return False


def wrap_comment(lines, i):
    """Line i is a comment of its own, or inside one.  Words move to the next line."""
    match = COMMENT.match(lines[i])
    indent, mark, blanks, text = match.groups()
    star = len(indent) + (1 if mark == '/*' else 0)  # where the stars below stand
    width = len(indent) + len(mark) + len(blanks)
    column = hanging(width, text)
    ruler = re.match(r'-{10,}', text)
    if ruler:  # a headline of a part of the file
        lines[i] = indent + mark + blanks + text[len(text) - (COLUMNS - width):]
        return True
    if len(blanks) > 3 and ', ' in text[:COLUMNS - width]:  # an example: code breaks behind a comma
        at = text.rfind(', ', 0, COLUMNS - width) + 1
        fits, rest, column = text[:at], text[at:].strip(), width + 1
    else:
        fits, rest = split_at_columns(text, COLUMNS - width)
    if not rest:
        return False
    lines[i] = indent + mark + blanks + fits
    prefix = ' ' * star + '*' + ' ' * (column - star - 1)
    following = lines[i + 1] if i + 1 < len(lines) and not rest.endswith('*/') else ''
    below = COMMENT.match(following)
    goes_on = (below and below.group(2) == '*' and below.group(4) and not KEY.match(below.group(4))
               and len(below.group(1)) + 1 + len(below.group(3)) == column)
    if goes_on:
        stop = '  ' if rest.endswith('.') else ' '
        lines[i + 1] = prefix + rest + stop + below.group(4)
    elif following.strip() == '*/' or not rest.endswith('*/') and not below:
        lines.insert(i + 1, prefix + rest)
    else:
        lines.insert(i + 1, prefix + rest)
    return True


def wrap_trailing(lines, i):
    """A comment behind code goes on below itself, or moves above it."""
    line = lines[i]
    at = comment_behind(line)
    if at is None:
        return False
    if not line.rstrip().endswith('*/'):  # it goes on below already
        fits, rest = split_at_columns(line[at:], COLUMNS - at)
        below = COMMENT.match(lines[i + 1]) if i + 1 < len(lines) else None
        if not rest or not below:
            return False
        lines[i] = line[:at] + fits
        lines[i + 1] = below.group(1) + '*' + below.group(3) + rest + ' ' + below.group(4)
        return True
    if at > COLUMNS - NARROW or line.lstrip().startswith('#'):
        indent = line[:len(line) - len(line.lstrip())]
        lines[i] = line[:at].rstrip()
        lines.insert(i, indent + line[at:].strip())
        return True
    fits, rest = split_at_columns(line[at:], COLUMNS - at)
    if rest and len(rest) < 20:  # not a word alone: two halves
        fits, rest = split_at_columns(line[at:], max(len(line) - at, 2 * NARROW) // 2 + 4)
    if not rest:
        return False
    lines[i] = line[:at] + fits
    lines.insert(i + 1, ' ' * at + ' * ' + rest)
    return True


def comment_behind(line):
    """Offset of the comment that ends this line of code; None when there is none, or no code."""
    quoted = None
    for at, char in enumerate(line):
        if quoted:
            if char == quoted and line[at - 1] != '\\':
                quoted = None
        elif char in '"\'':
            quoted = char
        elif line.startswith('/*', at):
            end = line.find('*/', at)
            return at if line[:at].strip() and end in (-1, len(line.rstrip()) - 2) else None
    return None


def strings(line):
    """(begin, end) of the string literals of a line."""
    return [m.span() for m in re.finditer(r'"(?:\\.|[^"\\])*"', line)]


def wrap_string(lines, i):
    """The string that crosses the border goes on in another one below it."""
    line = lines[i]
    if line.lstrip().startswith('#') or line.endswith('\\'):
        return False
    crossing = [s for s in strings(line) if s[0] < COLUMNS - 30 and s[1] > COLUMNS - 2]
    if not crossing:
        return False
    begin, end = crossing[0]
    room = COLUMNS - 1  # for the closing quote
    at = line.rfind(' ', begin + 1, room) + 1
    if at <= begin + 20:
        at = max(line.rfind(c, begin + 20, room - 1) for c in ';},>') + 1
    if at <= begin + 20 or at >= end - 1 or line[at - 1] == '\\' or line[at - 2] == '\\':
        return False
    rest, tail = line[at:end - 1], line[end:]
    lines[i] = line[:at] + '"'
    below = lines[i + 1] if i + 1 < len(lines) else ''
    if not tail.strip() and re.match(r' {%d}"' % begin, below):
        lines[i + 1] = ' ' * begin + '"' + rest + below[begin + 1:]
    else:
        lines.insert(i + 1, ' ' * begin + '"' + rest + '"' + tail)
    return True


def wrap_string_in_macro(lines, i, text):
    for begin, end in strings(text):
        at = text.rfind(' ', begin + 20, COLUMNS - 4) + 1
        if end > COLUMNS - 2 and at:
            lines[i] = (text[:at] + '"').ljust(COLUMNS - 2) + ' \\'
            lines.insert(i + 1, (' ' * begin + '"' + text[at:]).ljust(COLUMNS - 2) + ' \\')
            return True
    return False


def wrap_macro(lines, i):
    """A continued line: the backslash moves to the border; an argument too many moves down."""
    text = lines[i][:-1].rstrip()
    if len(text) + 2 > COLUMNS:
        at = max((m.start() for m in re.finditer(', ', text) if m.start() < COLUMNS - 3
                  and not any(b <= m.start() < e for b, e in strings(text))), default=0)
        if at:
            indent = len(text) - len(text.lstrip())
            rest = text[at + 1:].strip()
            indent += {'{': 1, '.': 0}.get(text.lstrip()[0], 2)
            lines[i] = text[:at + 1].ljust(COLUMNS - 2) + ' \\'
            lines.insert(i + 1, (' ' * indent + rest).ljust(COLUMNS - 2) + ' \\')
            return True
        return wrap_string_in_macro(lines, i, text)
    lines[i] = text.ljust(COLUMNS - 2) + ' \\'
    return True


def each_long_line(text, mend):
    """Calls mend(lines, i) for each line that is too long, until it is not or mend() gives up."""
    lines = text.split('\n')
    i = 0
    while i < len(lines):
        if len(lines[i]) <= COLUMNS or not mend(lines, i):
            i += 1
    return '\n'.join(lines)


def wrap_comments(text):
    """Comments and macros; what clang-format shall not touch."""
    def mend(lines, i):
        line = lines[i]
        if line.endswith('\\'):
            return wrap_macro(lines, i)
        if COMMENT.match(line) and (line.lstrip().startswith('/*') or in_comment(lines, i)):
            return wrap_comment(lines, i)
        return wrap_trailing(lines, i)
    return each_long_line(text, mend)


def wrap_strings(text):
    """Strings that are too long wherever they stand."""
    return each_long_line(text, wrap_string)
