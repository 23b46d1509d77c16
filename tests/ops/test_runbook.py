"""The runbook speaks of alerts, commands, settings and metrics that exist."""

import json
import pathlib
import re
import subprocess
import tempfile
import unittest

import yaml
from metrics import listed, names

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = ROOT / "target/debug/immune"
PAGES = [ROOT / "observability/runbook.md", ROOT / "observability/collector/README.md", ROOT / "k8s/examples/README.md"]
RUNBOOK = PAGES[0].read_text()
# Where nothing is set some parts of the configuration are not printed.
EVERYTHING = {"influx": {"url": "http://influx"}, "redis": {"url": "redis://redis"}}
# Settings that are printed only where they are set and whose files would have to be there; values of the chart.
ELSEWHERE = {"gate.tls", "ingestion.tls", "policy.mode", "gate.enabled"}


def run(*arguments):
    """What the program prints."""
    ran = subprocess.run([BINARY, *arguments], capture_output=True, text=True)
    assert ran.returncode == 0, f"{arguments}: {ran.stderr}"
    return ran.stdout


def commands(text):
    """Every call of `immune` in code: lines of blocks and spans, without what pipes and comments add."""
    code = re.findall(r"```sh\n(.*?)```", text, re.S) + re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", re.sub(r"```.*?```", "", text, flags=re.S))
    for piece in code:
        for line in piece.replace("\n", " \n").split("\n"):
            for part in re.split(r"[|;#]", line):
                words = part.split()
                if words[:1] == ["immune"] and len(words) > 1:
                    yield words[1:]


class Runbook(unittest.TestCase):
    def test_every_alert_has_a_section(self):
        """Guarantees: whoever follows an alert's link finds what it means, what is felt, where to look, what to do."""
        alerts = set()
        for path in (ROOT / "observability/alerts").glob("*.yaml"):
            for group in yaml.safe_load(path.read_text())["groups"]:
                alerts |= {rule["alert"] for rule in group["rules"]}
        sections = re.split(r"^## ", RUNBOOK.split("\n# Alerts\n")[1], flags=re.M)[1:]
        found = {section.split("\n")[0]: section for section in sections}
        self.assertEqual(set(found), alerts)
        for name, section in found.items():
            for part in ["Felt:", "Look", "Do:"]:
                self.assertIn(part, section, name)

    def test_every_command_exists(self):
        """Guarantees: each command is one of the program, and takes the flags that it is given."""
        seen = 0
        for page in PAGES:
            for words in commands(page.read_text()):
                names_of, flags = [], []
                for word in words:
                    if word.startswith("-") and word != "-":
                        flags.append(word.split("=")[0])
                    elif not flags and re.fullmatch(r"[a-z][a-z-]*", word):
                        names_of.append(word)
                with self.subTest(" ".join(words)):
                    # A lower-case word may be an argument: the longest beginning that has a help is the command.
                    help_text = ""
                    for length in range(len(names_of), 0, -1):
                        ran = subprocess.run([BINARY, *names_of[:length], "--help"], capture_output=True, text=True)
                        if ran.returncode == 0:
                            help_text = ran.stdout
                            break
                    self.assertTrue(help_text, names_of)
                    for flag in flags:
                        self.assertRegex(help_text, rf"(^|[\s,]){re.escape(flag)}\b")
                    seen += 1
        self.assertGreater(seen, 30)

    def test_every_metric_exists(self):
        """Guarantees: no metric is named that is not served."""
        known = names() | set(listed())
        for page in PAGES:
            self.assertLessEqual(set(re.findall(r"\bimmune_\w+", page.read_text())), known, page.name)

    def test_every_setting_exists(self):
        """Guarantees: each dotted name that begins like a part of the configuration is a setting."""
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            json.dump(EVERYTHING, file)
            file.flush()
            config = yaml.safe_load(run("check-config", "--config", file.name))
        for page in PAGES:
            for name in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)", page.read_text()):
                parts = name.split(".")
                if parts[0] not in config or name in ELSEWHERE:
                    continue
                with self.subTest(f"{page.name}: {name}"):
                    at = config
                    for part in parts:
                        self.assertIn(part, at or {}, name)
                        at = at[part]

    def test_links_lead_somewhere(self):
        """Guarantees: files that the pages link to are there."""
        for page in PAGES:
            for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
                self.assertTrue((page.parent / target).exists(), f"{page.name}: {target}")


if __name__ == "__main__":
    unittest.main()
