"""Each alert fires when it should, with the labels that its words use, and is silent when it should."""

import os
import pathlib
import re
import subprocess
import unittest

import yaml
from cases import BARE, CASES, WELL
from rules import firing, run, world

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "observability/alerts").glob("*.yaml"))
ALERTS = {
    rule["alert"]: rule
    for file in FILES
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
}


def complete(labels):
    """The labels of an alert; without a namespace where nothing of an installation is left that could tell it."""
    return {} if labels is BARE else {"namespace": "immune", **labels}


class Alerts(unittest.TestCase):
    def test_promtool_reads_the_rules(self):
        """Guarantees: every expression, every duration and every template of an annotation can be parsed."""
        ran = subprocess.run(["promtool", "check", "rules", *map(os.path.realpath, FILES)], capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)

    def test_every_alert_has_its_cases(self):
        """Guarantees: no alert is untested, no case is of an alert that is gone."""
        self.assertEqual(set(CASES), set(ALERTS))

    def test_every_alert_says_what_is_needed(self):
        """Guarantees: severity, a short summary, a description, and a link to a section of the runbook."""
        for name, rule in ALERTS.items():
            with self.subTest(name):
                self.assertIn(rule["labels"]["severity"], ["critical", "warning"])
                annotations = rule["annotations"]
                self.assertEqual(set(annotations), {"summary", "description", "runbook_url"})
                self.assertLess(len(annotations["summary"]), 100)
                self.assertEqual(annotations["runbook_url"], f"observability/runbook.md#{name.lower()}")

    def test_a_healthy_installation_is_silent(self):
        """Scenario: an hour of ordinary work, with the odd refusal, retry and short wait.
        Guarantees: no alert fires at any time."""
        silence = [
            firing(name, rule["labels"]["severity"], minute, [])
            for name, rule in ALERTS.items()
            for minute in range(0, 61, 5)
        ]
        self.assertEqual(run(list(ALERTS.values()), [world(WELL, silence)]), "")

    def test_alerts_fire_and_stay_silent(self):
        """Scenario: for each alert, worlds in which something is wrong, and worlds close to them.
        Guarantees: it fires with exactly the labels that are expected, or not at all."""
        for name, (fires, silent) in CASES.items():
            severity = ALERTS[name]["labels"]["severity"]
            with self.subTest(name):
                self.assertTrue(fires and silent)
                tests = [
                    world(series, [firing(name, severity, minute, [complete(each) for each in labels])])
                    for series, minute, labels in fires
                ]
                tests += [world(series, [firing(name, severity, minute, [])]) for series, minute in silent]
                self.assertEqual(run([ALERTS[name]], tests), "")

    def test_words_use_labels_that_are_there(self):
        """Guarantees: no annotation names a label that the alert does not carry."""
        for name, (fires, _) in CASES.items():
            annotations = ALERTS[name]["annotations"]
            named = set(re.findall(r"\$labels\.(\w+)", annotations["summary"] + annotations["description"]))
            for _, _, labels in fires:
                for each in labels:
                    self.assertLessEqual(named, set(complete(each)), name)


if __name__ == "__main__":
    unittest.main()
