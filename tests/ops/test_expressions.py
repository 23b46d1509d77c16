"""Dashboards and alerts ask for metrics that exist, in words that Prometheus understands."""

import json
import pathlib
import subprocess
import tempfile
import unittest

import yaml
from metrics import names, used

ROOT = pathlib.Path(__file__).resolve().parents[2]
DASHBOARDS = {path: json.loads(path.read_text()) for path in sorted((ROOT / "observability/dashboards").glob("*.json"))}
# What Grafana puts in the places of its variables.
VARIABLES = {"$__rate_interval": "5m", "$namespace": "immune"}


def expressions(dashboard):
    """Every expression of a dashboard."""
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", []))
    yield from (annotation["expr"] for annotation in dashboard["annotations"]["list"])


class Expressions(unittest.TestCase):
    def test_dashboards_are_there(self):
        """Guarantees: three dashboards, each with a name of its own, that Grafana can import as files."""
        self.assertEqual(len(DASHBOARDS), 3)
        self.assertEqual(len({board["uid"] for board in DASHBOARDS.values()}), 3)
        for path, board in DASHBOARDS.items():
            with self.subTest(path.name):
                self.assertGreaterEqual(board["schemaVersion"], 36)
                self.assertNotIn("__inputs", board)
                variables = {variable["name"]: variable for variable in board["templating"]["list"]}
                self.assertEqual(variables["datasource"]["type"], "datasource")
                numbers = [panel["id"] for panel in board["panels"]]
                self.assertEqual(len(numbers), len(set(numbers)))

    def test_every_panel_asks_the_chosen_source_and_namespace(self):
        """Guarantees: no panel is bound to somebody's data source, none mixes installations up."""
        for path, board in DASHBOARDS.items():
            for panel in board["panels"]:
                if panel["type"] == "row":
                    continue
                with self.subTest(f"{path.name}: {panel['title']}"):
                    self.assertTrue(panel["description"])
                    self.assertEqual(panel["datasource"]["uid"], "${datasource}")
                    for target in panel["targets"]:
                        self.assertEqual(target["datasource"]["uid"], "${datasource}")
                        metrics = len(used(target["expr"]))
                        self.assertGreaterEqual(target["expr"].count('namespace=~"$namespace"'), metrics)

    def test_panels_do_not_overlap(self):
        """Guarantees: every panel has a place of its own on a grid of 24 columns."""
        for path, board in DASHBOARDS.items():
            taken = set()
            for panel in board["panels"]:
                at = panel["gridPos"]
                self.assertLessEqual(at["x"] + at["w"], 24)
                cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
                self.assertFalse(taken & cells, f"{path.name}: {panel['title']}")
                taken |= cells

    def test_prometheus_understands_the_dashboards(self):
        """Guarantees: promtool parses every expression."""
        rules = []
        for board in DASHBOARDS.values():
            for number, expression in enumerate(expressions(board)):
                for variable, value in VARIABLES.items():
                    expression = expression.replace(variable, value)
                rules.append({"record": f"{board['uid']}_{number}".replace("-", "_"), "expr": expression})
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            json.dump({"groups": [{"name": "dashboards", "rules": rules}]}, file)
            file.flush()
            ran = subprocess.run(["promtool", "check", "rules", file.name], capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)

    def test_every_metric_exists(self):
        """Guarantees: dashboards and alerts name only metrics of observability/metrics.md, as Prometheus calls them."""
        known = names()
        for path, board in DASHBOARDS.items():
            for expression in expressions(board):
                self.assertLessEqual(used(expression), known, f"{path.name}: {expression}")
        for path in (ROOT / "observability/alerts").glob("*.yaml"):
            for group in yaml.safe_load(path.read_text())["groups"]:
                for rule in group["rules"]:
                    self.assertLessEqual(used(rule["expr"]), known, rule["alert"])


if __name__ == "__main__":
    unittest.main()
