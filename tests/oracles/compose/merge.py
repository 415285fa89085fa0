"""Merges the fields of a guest into those of the skeleton, as tests/it/hostile.rs does; imports go
first. See src/main.rs."""
import sys


def lists(text):
    found, depth, start, at = [], 0, 0, 0
    while at < len(text):
        if text.startswith(";;", at):
            at = text.find("\n", at)
        elif text[at] == '"':
            at += 1
            while text[at] != '"':
                at += 2 if text[at] == "\\" else 1
            at += 1
        else:
            if text[at] == "(":
                start = at if depth == 0 else start
                depth += 1
            elif text[at] == ")":
                depth -= 1
                if depth == 0:
                    found.append(text[start : at + 1])
            at += 1
    return found


def key(field):
    words = field.lstrip("(").split()
    name = words[1].rstrip(")(")
    return (words[0], name) if name.startswith("$") else None


def main(skeleton, guest, out):
    module = lists(open(skeleton).read())[0]
    fields, own = lists(module[len("(module") : -1]), lists(open(guest).read())
    keys = {key(field) for field in fields} - {None}
    replaced = {key(field): field for field in own if key(field) in keys}
    added = [field for field in own if key(field) not in keys]
    imports = [field for field in added if field.startswith("(import")]
    rest = [field for field in added if not field.startswith("(import")]
    body = [replaced.get(key(field), field) for field in fields]
    open(out, "w").write("(module\n" + "\n".join(imports + body + rest) + ")")


main(*sys.argv[1:])
