"""Development copies, collectors and gateway examples: well formed, of one mind with each other, and safe."""

import json
import pathlib
import re
import subprocess
import tempfile
import unittest

import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = ROOT / "target/debug/immune"
ENVOY = ROOT / "target/tools/bin/envoy"
DEV, EXAMPLES, COLLECTOR = ROOT / "k8s/dev", ROOT / "k8s/examples", ROOT / "observability/collector"
# The oldest that somebody may still run, and the newest that the validator knows.
VERSIONS = ["1.29", kubernetes_validate.latest_version()]
CONFIGS = {name: yaml.safe_load((COLLECTOR / f"{name}.yaml").read_text()) for name in ["agent", "gateway"]}


def documents(path):
    """The objects of a file."""
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def objects():
    """The development copies, each with its file."""
    listed = yaml.safe_load((DEV / "kustomization.yaml").read_text())["resources"]
    for name in listed:
        if name.endswith(".yaml"):
            yield from ((name, document) for document in documents(DEV / name))


def named(kind, name):
    """One of the development copies."""
    return next(o for _, o in objects() if o["kind"] == kind and o["metadata"]["name"] == name)


def endpoints(config):
    """Ports that a collector listens on."""
    protocols = config["receivers"]["otlp"]["protocols"]
    texts = [protocol["endpoint"] for protocol in protocols.values()] + [config["extensions"]["health_check"]["endpoint"]]
    prometheus = config["service"]["telemetry"]["metrics"]["readers"][0]["pull"]["exporter"]["prometheus"]
    return {int(text.rsplit(":", 1)[1]) for text in texts} | {prometheus["port"]}


class Development(unittest.TestCase):
    def test_every_object_is_one(self):
        """Guarantees: Kubernetes would take each object, fields and all; none is left out of the kustomization."""
        for name, document in objects():
            for version in VERSIONS:
                with self.subTest(f"{name}: {document['kind']} {version}"):
                    kubernetes_validate.validate(document, version, strict=True)
        here = {path.name for path in DEV.glob("*.yaml")} - {"kustomization.yaml"}
        listed = {name for name, _ in objects()}
        self.assertEqual({name for name in here if not name.startswith("values-")}, listed)

    def test_pods_are_restricted(self):
        """Guarantees: every pod passes the restricted pod security standard and has a limit of memory."""
        for name, document in objects():
            pod = document.get("spec", {}).get("template", {}).get("spec")
            if not pod:
                continue
            with self.subTest(f"{name}: {document['metadata']['name']}"):
                self.assertTrue(pod["securityContext"]["runAsNonRoot"])
                self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
                for container in pod["containers"]:
                    allowed = container["securityContext"]
                    self.assertEqual(allowed["capabilities"], {"drop": ["ALL"]})
                    self.assertFalse(allowed["allowPrivilegeEscalation"])
                    self.assertTrue(allowed["readOnlyRootFilesystem"])
                    self.assertIn("memory", container["resources"]["limits"])

    def test_simulated_agents_start(self):
        """Guarantees: `immune simulate` takes the flags that its pod is given."""
        container = named("Deployment", "simulator")["spec"]["template"]["spec"]["containers"][0]
        command, *flags = container["args"]
        ran = subprocess.run([BINARY, command, "--help"], capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        for flag in flags:
            self.assertIn(flag.split("=")[0] + " ", ran.stdout)

    def test_skaffold_names_what_is_there(self):
        """Guarantees: two profiles, each with the chart and values that exist, and the image that the pods name."""
        config = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
        self.assertRegex(config["apiVersion"], r"^skaffold/v4beta\d+$")
        self.assertLessEqual(set(config), {"apiVersion", "kind", "metadata", "build", "manifests", "deploy", "portForward", "profiles"})
        image = config["build"]["artifacts"][0]["image"]
        self.assertEqual(named("Deployment", "simulator")["spec"]["template"]["spec"]["containers"][0]["image"], image)
        self.assertEqual([profile["name"] for profile in config["profiles"]], ["all-in-one", "separate"])
        for profile in config["profiles"]:
            (release,) = profile["deploy"]["helm"]["releases"]
            self.assertTrue((ROOT / release["chartPath"] / "Chart.yaml").is_file())
            for values in release["valuesFiles"]:
                self.assertTrue((ROOT / values).is_file())
            for template in release["setValueTemplates"].values():
                self.assertRegex(template, rf"^{{{{\.IMAGE_(REPO|TAG)_{image}}}}}$")


class Collectors(unittest.TestCase):
    def test_parts_and_pipelines_agree(self):
        """Guarantees: what a pipeline names is defined, and what is defined is used."""
        for name, config in CONFIGS.items():
            with self.subTest(name):
                for kind in ["receivers", "processors", "exporters"]:
                    used = {part for pipeline in config["service"]["pipelines"].values() for part in pipeline[kind]}
                    self.assertEqual(used, set(config[kind]))
                self.assertEqual(set(config["service"]["extensions"]), set(config["extensions"]))
                for pipeline in config["service"]["pipelines"].values():
                    self.assertEqual(pipeline["processors"][0], "memory_limiter")

    def test_what_agents_say_of_their_place_is_not_believed(self):
        """Guarantees: `k8s.*` is removed before it is set from the connection."""
        config = CONFIGS["agent"]
        order = config["service"]["pipelines"]["traces"]["processors"]
        self.assertLess(order.index("resource/untrusted"), order.index("k8sattributes"))
        (removed,) = config["processors"]["resource/untrusted"]["attributes"]
        self.assertEqual(removed["action"], "delete")
        place = config["processors"]["k8sattributes"]
        for attribute in place["extract"]["metadata"]:
            self.assertRegex(attribute, removed["pattern"])
        self.assertEqual(place["pod_association"], [{"sources": [{"from": "connection"}]}])

    def test_one_trace_goes_to_one_replica(self):
        """Guarantees: traces are kept together, and what a replica could not take is sent to the one that is next."""
        exporter = CONFIGS["gateway"]["exporters"]["load_balancing"]
        self.assertEqual(exporter["routing_key"], "traceID")
        self.assertEqual(exporter["sending_queue"]["storage"], "file_storage")
        self.assertFalse(exporter["protocol"]["otlp"]["sending_queue"]["enabled"])
        self.assertFalse(exporter["protocol"]["otlp"]["retry_on_failure"]["enabled"])
        self.assertIn("x-api-key", exporter["protocol"]["otlp"]["headers"])

    def test_the_manifests_fit_the_configurations(self):
        """Guarantees: ports, variables, files and permissions of the pods are those that the configurations need."""
        for name, kind in [("agent", "DaemonSet"), ("gateway", "StatefulSet")]:
            with self.subTest(name):
                config = (COLLECTOR / f"{name}.yaml").read_text()
                pod = named(kind, f"immune-collector-{name}")["spec"]["template"]["spec"]
                container = pod["containers"][0]
                self.assertEqual(container["args"], [f"--config=/etc/otelcol/{name}.yaml"])
                self.assertEqual({port["containerPort"] for port in container["ports"]}, endpoints(CONFIGS[name]))
                wanted = set(re.findall(r"\$\{env:(\w+)\}", config)) | set(re.findall(r"node_from_env_var: (\w+)", config))
                self.assertLessEqual(wanted, {variable["name"] for variable in container["env"]})
                mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
                self.assertIn(CONFIGS[name]["extensions"]["file_storage"]["directory"].rsplit("/", 1)[0], mounted)
        # The node's collector sends to the gateway, the gateway to the chart's service for telemetry.
        sends_to = CONFIGS["agent"]["exporters"]["otlp_grpc"]["endpoint"]
        self.assertIn(named("Service", "immune-collector-gateway")["metadata"]["name"], sends_to)


class Examples(unittest.TestCase):
    def test_examples_ask_the_gate(self):
        """Guarantees: each example names the chart's service and port, and refuses where nobody answers."""
        for path in sorted(EXAMPLES.glob("*")):
            text = path.read_text()
            if path.suffix == ".md":
                continue
            with self.subTest(path.name):
                self.assertIn("immune-gate", text)
                self.assertIn("9001", text)
                self.assertNotRegex(text, r"failure_mode_allow: true|failOpen: true|failureMode: FailOpen")
                if path.suffix == ".yaml":
                    self.assertTrue(documents(path))

    def test_envoy_takes_its_example(self):
        """Guarantees: Envoy itself reads the configuration, every extension and field of it."""
        with tempfile.TemporaryDirectory() as folder:
            make = "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=envoy -keyout tls.key -out tls.crt".split()
            subprocess.run(["openssl", *make], cwd=folder, check=True, capture_output=True)
            pathlib.Path(folder, "ca.crt").write_text(pathlib.Path(folder, "tls.crt").read_text())
            config = pathlib.Path(folder, "envoy.yaml")
            config.write_text((EXAMPLES / "envoy.yaml").read_text().replace("/etc/envoy/tls", folder))
            ran = subprocess.run([ENVOY, "--mode", "validate", "-c", config], capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)

    def test_the_configuration_beside_the_examples_is_one(self):
        """Guarantees: the server takes the settings that the page and the examples recommend."""
        page = (EXAMPLES / "README.md").read_text()
        recommended = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.S)]
        for path in EXAMPLES.glob("*"):
            for identity in re.findall(r"gate\.identity(?: is)?\s+(?:#\s+)?(\[.*?\])\.?$", path.read_text(), re.M):
                gate = {"listen": "127.0.0.1:0", "identity": yaml.safe_load(identity)}
                recommended.append({"gate": gate})
        self.assertGreater(len(recommended), 3)
        for config in recommended:
            with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                # JSON is YAML.
                json.dump(config, file)
                file.flush()
                ran = subprocess.run([BINARY, "check-config", "--config", file.name], capture_output=True, text=True)
            self.assertEqual(ran.returncode, 0, f"{config}: {ran.stderr}")


if __name__ == "__main__":
    unittest.main()
