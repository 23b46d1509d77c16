"""The chart renders into what clusters take, what the program understands, and what holds together."""

import base64
import json
import pathlib
import re
import subprocess
import tempfile
import unittest
import warnings

import kubernetes_validate
import yaml
from chart import CHART, PROFILES, ROOT, containers, kept_rendered, objects, of_profile, pods, run

# The oldest that Chart.yaml allows and that has schemas, one between, and the newest.
VERSIONS = ["1.25", "1.30", "1.34"]
# Kinds that come with other products, whose schemas Kubernetes does not know.
FOREIGN = {"Certificate", "HTTPRoute", "GRPCRoute", "Route", "ServiceMonitor", "PrometheusRule"}
UPGRADE = ("--is-upgrade",)


def renderings(*more):
    for profile in PROFILES:
        yield profile.name, objects("--values", profile, *more)
    yield "upgrade", objects(*UPGRADE, *more)


class Rendered(unittest.TestCase):
    def test_lint(self):
        """Guarantees: Helm finds nothing to warn of, in any profile."""
        for profile in PROFILES:
            with self.subTest(profile.name):
                status, out, error = run("lint", "--strict", CHART, "--values", profile)
                self.assertEqual(status, 0, out + error)

    def test_published_schemas(self):
        """Guarantees: every object is as Kubernetes' own schemas say, with no field that they do not know."""
        for version in VERSIONS:
            for name, rendered in renderings("--kube-version", version):
                for one in rendered:
                    if one["kind"] in FOREIGN:
                        continue
                    with self.subTest(f"{name} {version} {one['kind']}/{one['metadata']['name']}"):
                        with warnings.catch_warnings():
                            warnings.simplefilter("ignore")
                            kubernetes_validate.validate(one, version, strict=True)

    def test_program_takes_the_configuration(self):
        """Scenario: the configuration of each pod, with files where the Secrets would be.
        Guarantees: the program finds no mistake, in any profile and role."""
        with tempfile.TemporaryDirectory() as folder:
            for name, rendered in renderings():
                text = next(one for one in rendered if one["kind"] == "ConfigMap" and "immune.yaml" in one["data"])
                text = text["data"]["immune.yaml"]
                for path in sorted(set(re.findall(r"/etc/immune/([\w./-]+)", text))):
                    file = f"{folder}/{path}"
                    subprocess.run(["mkdir", "-p", file.rsplit("/", 1)[0]], check=True)
                    with open(file, "w", encoding="utf-8") as out:
                        out.write(secret(path))
                config = f"{folder}/immune.yaml"
                for pod, _, spec in pods(rendered):
                    for one in containers(spec):
                        if one["name"] != "immune":
                            continue
                        roles = [one["args"][-1]] if one["args"][-2:-1] == ["--role"] else None
                        with open(config, "w", encoding="utf-8") as out:
                            out.write(text.replace("/etc/immune/", f"{folder}/"))
                            out.write(f"\nroles: {json.dumps(roles)}\n" if roles else "")
                        with self.subTest(f"{name} {pod}"):
                            self.check(config)

    def check(self, config):
        ended = checked(config)
        self.assertEqual(ended.returncode, 0, ended.stderr)

    def test_program_takes_what_uninstalling_says(self):
        """Guarantees: the Job at `helm uninstall` has a configuration that the program takes, as it is."""
        seen = 0
        for name, rendered in renderings():
            for one in rendered:
                if one["kind"] == "ConfigMap" and "uninstall.yaml" in one["data"]:
                    with self.subTest(name), tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                        file.write(one["data"]["uninstall.yaml"])
                        file.flush()
                        ended = checked(file.name)
                        self.assertEqual(ended.returncode, 0, ended.stderr)
                        self.assertTrue(yaml.safe_load(ended.stdout)["levers"]["kubernetes"]["enabled"])
                        seen += 1
        self.assertGreater(seen, 3)

    def test_wrong_values_are_refused(self):
        """Guarantees: a value that no template reads, or that means nothing, stops Helm with a sentence that names it."""
        wrong = {
            "mode=both": "/mode",
            "rolls.ingestion.replicas=2": "rolls",
            "roles.ingestion.replica=2": "replica",
            "roles.ingestion.replicas=two": "/roles/ingestion/replicas",
            "roles.guard.replicas=2": "guard",
            "image.digest=latest": "/image/digest",
            "image.pullPolicy=Sometimes": "/image/pullPolicy",
            "policy.mode=enforced": "/policy/mode",
            "tls.source=none": "/tls/source",
            "database.url=mysql://x": "/database/url",
            "redis.url=http://x": "/redis/url",
            "levers.kubernetes.namespaces={Agents}": "/levers/kubernetes/namespaces",
            "levers.kubernetes.namespaces={a,a}": "/levers/kubernetes/namespaces",
            "levers.kubernetes.telemetry[0].namespace=a": "ports",
            "levers.kubernetes.config.all_namespaces=true": "/levers/kubernetes/config",
            "resources.config.webhook.listen=x": "/resources/config/webhook",
            "resources.webhook.caBundle=x": "/resources/webhook/caBundle",
            "uninstall.keepQuarantine=true": "keepQuarantine",
            "pod.terminationGracePeriodSeconds=5": "/pod/terminationGracePeriodSeconds",
        }
        for setting, word in wrong.items():
            with self.subTest(setting):
                status, _, error = run("template", "immune", CHART, "--set", setting)
                self.assertNotEqual(status, 0)
                self.assertIn(word, error)
        for setting, words in {
            "database.bundled.enabled=false": "needs PostgreSQL",
            "tls.source=certManager": "issuerRef",
            "tls.source=secrets,resources.webhook.enabled=false": "tls.existingSecrets",
            "tls.source=secrets": "resources.webhook.existingSecret",
            "resources.webhook.existingSecret=mine": "give caBundle",
            "levers.kubernetes.allNamespaces=true,levers.kubernetes.namespaces={a}": "allNamespaces takes no list",
            "resources.allNamespaces=true,resources.namespaces={a}": "allNamespaces takes no list",
            "config.levers.kubernetes.enabled=true": "set levers.kubernetes and resources as values",
            "config.resources.enabled=false": "set levers.kubernetes and resources as values",
            "gatewayAPI.enabled=true": "parentRefs",
            "roles.sentinel.replicas=2": "redis.url",
            "roles.baseline.autoscaling.enabled=true": "redis.url",
            "mode=allInOne,database.existingSecret=mine": "mode: allInOne keeps its state in SQLite",
            "roles.healer.autoscaling.enabled=true,roles.healer.autoscaling.maxReplicas=1": "minReplicas 2 is more than",
            "lifecycle.bases[0].url=https://platform,lifecycle.bases[0].token=t": "would be readable in a ConfigMap",
            "secretFiles[0].name=platform": "existingSecret",
        }.items():
            with self.subTest(setting):
                status, _, error = run("template", "immune", CHART, "--set", setting)
                self.assertNotEqual(status, 0)
                self.assertIn(words, error)

    def test_every_value_is_read(self):
        """Guarantees: there is no value that no template reads, and no template reads one that is not there."""
        values = yaml.safe_load((CHART / "values.yaml").read_text())
        read = "".join(file.read_text() for file in (CHART / "templates").rglob("*.*"))
        for path in re.findall(r"\.Values\.([\w.]+)", read):
            at = values
            for word in path.split("."):
                self.assertIn(word, at, path)
                at = at[word]
                if at in ({}, []):
                    break
        for name, value in values.items():
            if name in ("roles", "pod", "allInOne"):
                continue
            for inner in value if isinstance(value, dict) and value else [None]:
                path = f".Values.{name}" + (f".{inner}" if inner else "")
                # A template may take `with .Values.image` or all of a section at once.
                self.assertTrue(path in read or re.search(rf"\.{inner}\b", read), path)
        for field in values["pod"]:
            self.assertIn(f"$v.{field}", read)

    def test_rendered_manifests(self):
        """Guarantees: what `k8s/` holds for people without Helm is this chart, rendered."""
        for mode in ("separate", "all-in-one"):
            with self.subTest(mode):
                committed = (ROOT / f"k8s/{mode}.yaml").read_text()
                self.assertEqual(committed, kept_rendered(mode), f"make k8s/{mode}.yaml")


def checked(config):
    command = [ROOT / "target/debug/immune", "check-config", "--config", config]
    return subprocess.run(command, env={}, capture_output=True, text=True, check=False)


def secret(path):
    """Something of the right form for a file that a Secret would be; certificates are those that the chart makes."""
    folder, _, key = path.partition("/")
    if folder in ("tls", "webhook"):
        name = {"tls": "immune-sentinel-tls", "webhook": "immune-webhook-tls"}[folder]
        made = next(one for one in objects() if one["metadata"]["name"] == name)
        return base64.b64decode(made["data"][key]).decode()
    if path.endswith("database/url"):
        return "postgres://immune:secret@db/immune"
    if path.endswith("redis/url"):
        return "redis://redis:6379"
    return "a-secret-of-more-than-sixteen-characters"


if __name__ == "__main__":
    unittest.main()
