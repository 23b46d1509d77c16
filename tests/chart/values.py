"""The table of values in the chart's README, made from `values.yaml` and the comments in it: `python values.py`."""

import json

import yaml
from chart import CHART

BEGIN, END = "<!-- values: made by tests/chart/values.py -->\n", "<!-- end of values -->\n"
README = CHART / "README.md"


def rows():
    """(path, default, what it is) of every value; a map written in one line is one value."""
    text = (CHART / "values.yaml").read_text()
    lines = text.splitlines()

    def said(line):
        """The comment right above a line that begins with `# --`."""
        words, at = [], line - 1
        while at >= 0 and lines[at].lstrip().startswith("#"):
            words.insert(0, lines[at].lstrip().removeprefix("#").strip())
            if words[0].startswith("-- "):
                return " ".join(words).removeprefix("-- ")
            at -= 1
        return ""

    def walk(node, path):
        for key, value in node.value:
            name, words = [*path, key.value], said(key.start_mark.line)
            if isinstance(value, yaml.MappingNode) and value.value and not value.flow_style:
                if words:
                    yield ".".join(name), None, words
                yield from walk(value, name)
            else:
                yield ".".join(name), yaml.safe_load(yaml.serialize(value)), words

    return list(walk(yaml.compose(text), []))


def table():
    """The rows as Markdown."""
    out = ["| value | default | what it is |\n", "|---|---|---|\n"]
    for path, default, words in rows():
        shown = "" if default is None else f"`{json.dumps(default)}`"
        out.append("| `{}` | {} | {} |\n".format(path, shown.replace("|", "\\|"), words.replace("|", "\\|")))
    return "".join(out)


def with_table(readme):
    """The README with the table as it should be."""
    before, rest = readme.split(BEGIN)
    return before + BEGIN + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    README.write_text(with_table(README.read_text()))
