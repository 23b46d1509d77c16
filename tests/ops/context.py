"""The build context of an image: the files that .dockerignore leaves, by Docker's rules."""

import os
import re


def patterns(text):
    """The lines of a .dockerignore, each as (is an exception, expression of the paths that it means)."""
    found = []
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        is_exception = line.startswith("!")
        found.append((is_exception, expression(line.lstrip("!").strip("/"))))
    return found


def expression(pattern):
    """Docker's patterns are those of Go's filepath.Match, with `**` for any number of folders; a folder means all in it."""
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    return re.compile("".join(meaning.get(part) or re.escape(part) for part in parts) + "(?:/.*)?$")


def is_left(path, rules):
    """Whether a path is in the context: the last line that means it decides."""
    left = True
    for is_exception, means in rules:
        if means.match(path):
            left = is_exception
    return left


def files(root):
    """Paths of all files of the context, relative to the root. Folders that cannot hold any are not entered."""
    with open(os.path.join(root, ".dockerignore"), encoding="utf-8") as file:
        rules = patterns(file.read())
    for folder, inner, names in os.walk(root):
        here = os.path.relpath(folder, root)
        path_of = lambda name: os.path.normpath(os.path.join(here, name))
        inner[:] = [name for name in inner if is_left(path_of(name), rules) or name.startswith("tests")]
        yield from (path_of(name) for name in names if is_left(path_of(name), rules))
