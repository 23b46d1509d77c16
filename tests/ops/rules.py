"""Alert rules under test: a few words to describe what Prometheus sees, translated for promtool.

Series are written as in promtool's own tests: `0+60x30` is 0, 60, 120, ... for thirty minutes, one sample a minute.
"""

import json
import os
import subprocess
import tempfile

MINUTES = 60
INSTALLATION = {"namespace": "immune"}


def target(role, /, **labels):
    """The labels of one scraped process."""
    return {**INSTALLATION, "job": "immune", "instance": f"{role}:9464", **labels}


def flat(value):
    """A gauge that does not change."""
    return f"{value}x{MINUTES}"


def rising(per_minute, start=0):
    """A counter that grows evenly."""
    return f"{start}+{per_minute}x{MINUTES}"


def steps(*parts):
    """Parts of (value, minutes), one after the other."""
    return " ".join(f"{value}x{minutes - 1}" for value, minutes in parts)


def nothing(minutes):
    """No samples: the process is not there."""
    return f"_x{minutes}"


def named(metric, labels):
    """`metric{label="value"}`."""
    inside = ",".join(f"{key}={json.dumps(str(value))}" for key, value in sorted(labels.items()))
    return f"{metric}{{{inside}}}"


def firing(alert, severity, minute, labels):
    """A question to Prometheus: at a minute the alert fires with exactly these label sets."""
    sample = {"alertname": alert, "alertstate": "firing", "severity": severity}
    return {
        "expr": named("ALERTS", {"alertname": alert, "alertstate": "firing"}),
        "eval_time": f"{minute}m",
        "exp_samples": [{"labels": named("ALERTS", {**sample, **each}), "value": 1} for each in labels],
    }


def world(series, questions):
    """A test: what is scraped, and what is asked about it."""
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": questions,
    }


def run(rules, tests):
    """Runs tests on rules; gives promtool's complaints, empty when there are none."""
    with tempfile.TemporaryDirectory() as folder:
        # JSON is YAML.
        paths = [os.path.join(folder, name) for name in ["rules.yaml", "tests.yaml"]]
        suite = {"rule_files": [paths[0]], "evaluation_interval": "1m", "tests": tests}
        for path, content in zip(paths, [{"groups": [{"name": "tested", "rules": rules}]}, suite], strict=True):
            with open(path, "w", encoding="utf-8") as file:
                json.dump(content, file)
        ran = subprocess.run(["promtool", "test", "rules", paths[1]], capture_output=True, text=True, check=False)
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr
