"""The objects fit together, and ask for no more than they need."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import yaml
from chart import PROFILES, containers, of_profile, pods, template


class Together(unittest.TestCase):
    def each(self):
        for profile in PROFILES:
            yield profile.name, of_profile(profile)

    def test_selectors_find_pods(self):
        """Guarantees: every selector of a Service, policy or budget finds exactly the pods of one role."""
        for name, rendered in self.each():
            everybody = list(pods(rendered))
            for one in rendered:
                spec = one.get("spec", {})
                selector = {
                    "Service": lambda: spec["selector"],
                    "NetworkPolicy": lambda: spec["podSelector"]["matchLabels"],
                    "PodDisruptionBudget": lambda: spec["selector"]["matchLabels"],
                    "Deployment": lambda: spec["selector"]["matchLabels"],
                    "StatefulSet": lambda: spec["selector"]["matchLabels"],
                }.get(one["kind"])
                if not selector:
                    continue
                with self.subTest(f"{name} {one['kind']}/{one['metadata']['name']}"):
                    wanted = selector().items()
                    found = [pod for pod, labels, _ in everybody if wanted <= labels.items()]
                    self.assertEqual(len(found), 1, found)

    def test_ports_have_names_that_exist(self):
        """Guarantees: every port that a Service, probe, policy or route names is a port of its pod."""
        for name, rendered in self.each():
            everybody = list(pods(rendered))
            for pod, _, spec in everybody:
                for one in containers(spec):
                    ports = {port["name"] for port in one.get("ports", [])}
                    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                        http = one.get(probe, {}).get("httpGet") or one.get(probe, {}).get("tcpSocket")
                        if http:
                            self.assertIn(http["port"], ports, f"{name} {pod} {probe}")
            for one in rendered:
                if one["kind"] == "Service":
                    wanted, asked = one["spec"]["selector"], [port["targetPort"] for port in one["spec"]["ports"]]
                elif one["kind"] == "NetworkPolicy":
                    wanted = one["spec"]["podSelector"]["matchLabels"]
                    asked = [port["port"] for rule in one["spec"].get("ingress", []) for port in rule["ports"]]
                else:
                    continue
                spec = next(spec for _, labels, spec in everybody if wanted.items() <= labels.items())
                ports = {port["name"] for each in containers(spec) for port in each.get("ports", [])}
                self.assertLessEqual(set(asked), ports, f"{name} {one['kind']}/{one['metadata']['name']}")

    def test_replicas_that_share_agents(self):
        """Guarantees: where there is no Redis to share agents through, there are never two of baseline or sentinel, not
        even while one replaces the other; everybody else is replaced without a gap."""
        for name, rendered in self.each():
            has_redis = "production" in name
            for one in rendered:
                role = one["metadata"]["labels"]["app.kubernetes.io/component"]
                if one["kind"] != "Deployment" or role == "all":
                    continue
                is_alone = role in ("baseline", "sentinel") and not has_redis
                with self.subTest(f"{name} {role}"):
                    self.assertEqual(one["spec"]["strategy"]["type"], "Recreate" if is_alone else "RollingUpdate")
                    self.assertTrue(not is_alone or one["spec"]["replicas"] == 1)

    def test_what_is_named_exists(self):
        """Guarantees: every Secret, ConfigMap, claim and ServiceAccount that a pod names is in the chart, or is one that
        the values call existing."""
        for profile in PROFILES:
            rendered = of_profile(profile)
            there = {(one["kind"], one["metadata"]["name"]) for one in rendered}
            # cert-manager makes the Secrets of its certificates.
            there |= {("Secret", one["spec"]["secretName"]) for one in rendered if one["kind"] == "Certificate"}
            given = profile.read_text()
            for pod, _, spec in pods(rendered):
                for kind, name in named(spec):
                    if (kind, name) not in there:
                        self.assertIn(name, given, f"{profile.name} {pod} names {kind} {name}")

    def test_least_privilege(self):
        """Guarantees: no pod is root, may become it, writes to its root or has a capability; none has a token of the
        cluster that it does not need, which is to say: whose account has no rights; no settings come in by accident."""
        for name, rendered in self.each():
            for pod, _, spec in pods(rendered):
                with self.subTest(f"{name} {pod}"):
                    self.assertTrue(spec["securityContext"]["runAsNonRoot"])
                    self.assertEqual(spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
                    has_rights = spec.get("serviceAccountName") in given_rights(rendered)
                    self.assertEqual(spec["automountServiceAccountToken"], has_rights)
                    self.assertFalse(spec["enableServiceLinks"], "IMMUNE_... variables of Services are no settings")
                    if "openshift" in name:
                        self.assertNotIn("runAsUser", spec["securityContext"])
                    for one in containers(spec):
                        allowed = one["securityContext"]
                        self.assertFalse(allowed["allowPrivilegeEscalation"])
                        self.assertTrue(allowed["readOnlyRootFilesystem"])
                        self.assertEqual(allowed["capabilities"], {"drop": ["ALL"]})
                        self.assertIn("memory", one["resources"]["limits"])

    def test_overrides_reach_the_pod(self):
        """Guarantees: what is set for every pod reaches each, and what a role says otherwise holds for it alone."""
        settings = {
            "pod": {
                "nodeSelector": {"pool": "guards"},
                "tolerations": [{"key": "guards", "operator": "Exists"}],
                "affinity": {"nodeAffinity": {}},
                "priorityClassName": "high",
                "podAnnotations": {"a": "b"},
                "podLabels": {"team": "sre"},
                "extraEnv": [{"name": "RUST_LOG", "value": "debug"}],
                "extraEnvFrom": [{"configMapRef": {"name": "more"}}],
                "extraVolumes": [{"name": "scratch", "emptyDir": {}}],
                "extraVolumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
                "extraContainers": [{"name": "side", "image": "side:1"}],
            },
            "roles": {"healer": {"nodeSelector": {"pool": "healers"}, "replicas": 3}},
            "commonLabels": {"cost-center": "7"},
            "commonAnnotations": {"owner": "sre"},
            "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-mine"}}],
            "image": {"registry": "r.example", "digest": "sha256:" + "a" * 64, "pullSecrets": ["pull"]},
        }
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(settings, file)
            file.flush()
            rendered = [one for one in yaml.safe_load_all(template("--values", file.name, "--skip-tests")) if one]
        self.assertIn("immune-mine", [one["metadata"]["name"] for one in rendered])
        for one in rendered:
            if one["metadata"]["name"] != "immune-mine":
                self.assertEqual(one["metadata"]["labels"]["cost-center"], "7", one["metadata"]["name"])
                self.assertEqual(one["metadata"].get("annotations", {}).get("owner"), "sre", one["metadata"]["name"])
        for one in rendered:
            if one["kind"] != "Deployment":
                continue
            role, pod = one["metadata"]["labels"]["app.kubernetes.io/component"], one["spec"]["template"]
            spec = pod["spec"]
            self.assertEqual(spec["nodeSelector"]["pool"], "healers" if role == "healer" else "guards")
            self.assertEqual(one["spec"]["replicas"], 3 if role == "healer" else 1)
            self.assertEqual((spec["tolerations"][0]["key"], spec["priorityClassName"]), ("guards", "high"))
            self.assertEqual((pod["metadata"]["annotations"]["a"], pod["metadata"]["labels"]["team"]), ("b", "sre"))
            self.assertEqual(spec["imagePullSecrets"], [{"name": "pull"}])
            main, side = spec["containers"]
            self.assertEqual((main["image"], side["name"]), ("r.example/immune@sha256:" + "a" * 64, "side"))
            self.assertIn({"name": "RUST_LOG", "value": "debug"}, main["env"])
            self.assertIn({"name": "scratch", "mountPath": "/scratch"}, main["volumeMounts"])
            self.assertIn({"name": "scratch", "emptyDir": {}}, spec["volumes"])
            # A file that the configuration or the database's URL names may be on such a volume.
            [migrate] = spec["initContainers"]
            self.assertIn({"name": "scratch", "mountPath": "/scratch"}, migrate["volumeMounts"])
            self.assertIn({"name": "RUST_LOG", "value": "debug"}, migrate["env"])

    def test_policy_checks(self):
        """Guarantees: checkov finds nothing but what `exceptions.yaml` names, and every exception is still needed."""
        exceptions = yaml.safe_load((pathlib.Path(__file__).parent / "exceptions.yaml").read_text())
        checkov = pathlib.Path(sys.executable).parent / "checkov"
        found = {}
        with tempfile.TemporaryDirectory() as folder:
            for profile in PROFILES:
                (pathlib.Path(folder) / f"{profile.stem}.yaml").write_text(template("--values", profile))
            ended = subprocess.run(
                [checkov, "-d", folder, "--framework", "kubernetes", "-o", "json", "--quiet", "--skip-download"],
                capture_output=True,
                text=True,
                check=False,
            )
            report = json.loads(ended.stdout)
        self.assertGreater(report["summary"]["passed"], 100)
        for one in report["results"]["failed_checks"]:
            found.setdefault(one["check_id"], []).append(f"{one['resource']}: {one['check_name']}")
        unexpected = {check: where[:3] for check, where in found.items() if check not in exceptions}
        self.assertEqual(unexpected, {})
        self.assertEqual(set(exceptions) - set(found), set(), "exceptions that nothing needs")


def given_rights(rendered):
    """Names of the accounts that any binding names."""
    bindings = [one for one in rendered if one["kind"] in ("RoleBinding", "ClusterRoleBinding")]
    return {subject["name"] for one in bindings for subject in one["subjects"]}


def named(spec):
    """What a pod names, as (kind, name)."""
    if "serviceAccountName" in spec:
        yield "ServiceAccount", spec["serviceAccountName"]
    for volume in spec.get("volumes", []):
        sources = volume.get("projected", {}).get("sources", []) + [volume]
        for source in sources:
            if "secret" in source:
                yield "Secret", source["secret"].get("secretName") or source["secret"].get("name")
            if "configMap" in source:
                yield "ConfigMap", source["configMap"]["name"]
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]
    for one in containers(spec):
        for variable in one.get("env", []):
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            if reference:
                yield "Secret", reference["name"]


if __name__ == "__main__":
    unittest.main()
