"""Values reach what they are meant for, and the README says of them what `values.yaml` says."""

import re
import unittest

import yaml
from chart import PROFILES, containers, objects, of_profile, pods
from values import README, rows, with_table


class Documented(unittest.TestCase):
    def test_readme(self):
        """Guarantees: the table in the README is the one made from `values.yaml`."""
        readme = README.read_text()
        self.assertEqual(readme, with_table(readme), "python tests/chart/values.py writes it")

    def test_every_value_is_explained(self):
        """Guarantees: every value says what it is, itself or in the section that it stands in."""
        explained = {path for path, _, words in rows() if words}
        for path, _, _ in rows():
            parts = path.split(".")
            above = {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
            self.assertTrue(above & explained, f"{path} has no comment that begins with `# --`")


class Reaching(unittest.TestCase):
    def test_files_of_the_configuration_are_mounted(self):
        """Guarantees: whatever file the configuration names lies on a volume of every pod that reads it; what only the
        webhook reads, of no other."""
        for profile in PROFILES:
            rendered = of_profile(profile)
            config = next(one for one in rendered if one["kind"] == "ConfigMap" and "immune.yaml" in one["data"])
            files = set(re.findall(r"/etc/immune/[\w./-]+", config["data"]["immune.yaml"]))
            self.assertTrue(files)
            for pod, _, spec in pods(rendered):
                for one in containers(spec):
                    mounts = [mount["mountPath"] for mount in one.get("volumeMounts", [])]
                    if one["name"] != "immune":
                        continue
                    is_webhook = any(port["name"] == "webhook" for port in one["ports"])
                    for file in files:
                        is_there = any(file == mount or file.startswith(mount + "/") for mount in mounts)
                        is_asked = is_webhook or not file.startswith(("/etc/immune/webhook/", "/etc/immune/seal/"))
                        self.assertEqual(is_there, is_asked, f"{profile.name} {pod}: {file}")

    def test_every_pod_runs_where_pods_may(self):
        """Guarantees: jobs, tests and the database go to the same nodes as the roles; a node that takes none of them
        would hold up an upgrade."""
        settings = ("pod.nodeSelector.pool=guards", "pod.tolerations[0].key=guards", "pod.priorityClassName=high")
        rendered = objects("--is-upgrade", "--set", ",".join(settings))
        found = list(pods(rendered))
        self.assertEqual(len(found), 9)
        for pod, _, spec in found:
            with self.subTest(pod):
                self.assertEqual(spec["nodeSelector"], {"pool": "guards"})
                self.assertEqual(spec["tolerations"], [{"key": "guards"}])
                self.assertEqual(spec["priorityClassName"], "high")

    def test_gate_with_certificates(self):
        """Guarantees: the gateway check speaks in the clear only where it has no certificate, or where that is asked for."""
        for settings, is_plain, protocol in [
            ("gate.enabled=true", True, "grpc"),
            ("gate.enabled=true,gate.config.tls.cert_file=/c,gate.config.tls.key_file=/k", False, "tls"),
            ("gate.enabled=true,gate.config.plaintext=false", False, "grpc"),
        ]:
            with self.subTest(settings):
                rendered = objects("--set", settings)
                config = next(one for one in rendered if one["kind"] == "ConfigMap")["data"]["immune.yaml"]
                self.assertEqual(yaml.safe_load(config)["gate"]["plaintext"], is_plain)
                service = next(one for one in rendered if one["metadata"]["name"] == "immune-gate")
                self.assertEqual(service["spec"]["ports"][0]["appProtocol"], protocol)


if __name__ == "__main__":
    unittest.main()
