"""The webhook that says who decided, the Job that lets go, and what both need."""

import base64
import unittest

import yaml
from chart import CHART, NAMESPACE, objects, pods, run
from test_kept import Cluster, Held

WEBHOOK = f"{NAMESPACE}-immune-webhook"


def named(rendered, kind, name):
    return next((one for one in rendered if (one["kind"], one["metadata"]["name"]) == (kind, name)), None)


class Webhook(unittest.TestCase):
    def test_is_asked_before_anything_is_written(self):
        """Guarantees: the API server asks the pods with quarantine about every AgentCase, waits for 5 s, and refuses what
        it could not ask about."""
        for mode, role in (("separate", "quarantine"), ("allInOne", "all")):
            rendered = objects("--set", f"mode={mode}")
            [webhook] = named(rendered, "MutatingWebhookConfiguration", WEBHOOK)["webhooks"]
            said = {key: webhook[key] for key in ("failurePolicy", "timeoutSeconds", "sideEffects", "matchPolicy")}
            wanted = {"failurePolicy": "Fail", "timeoutSeconds": 5, "sideEffects": "None", "matchPolicy": "Equivalent"}
            with self.subTest(mode):
                self.assertEqual(said, wanted)
                [rule] = webhook["rules"]
                self.assertEqual((rule["resources"], rule["operations"]), (["agentcases"], ["CREATE", "UPDATE"]))
                to = webhook["clientConfig"]["service"]
                wanted = {"name": "immune-webhook", "namespace": NAMESPACE, "path": "/admission/agentcases", "port": 9443}
                self.assertEqual(to, wanted)
                service = named(rendered, "Service", to["name"])["spec"]
                self.assertNotEqual(service.get("clusterIP"), "None", "API servers do not look up names")
                self.assertEqual(service["selector"]["app.kubernetes.io/component"], role)
                ours = yaml.safe_load(named(rendered, "ConfigMap", "immune")["data"]["immune.yaml"])["resources"]["webhook"]
                self.assertEqual(ours["service_account"], f"system:serviceaccount:{NAMESPACE}:immune-{role}")

    def test_its_secrets_are_mounted_nowhere_else(self):
        """Guarantees: no other role has the key under which decisions are sealed."""
        for pod, _, spec in pods(objects("--set", "levers.kubernetes.enabled=true")):
            secrets = {volume.get("secret", {}).get("secretName") for volume in spec.get("volumes", [])}
            has = {"immune-seal", "immune-webhook-tls"} & secrets
            self.assertEqual(len(has), 2 if pod == "Deployment/immune-quarantine" else 0, pod)

    def test_off(self):
        """Guarantees: without the webhook, or what it is for, nothing of it is there."""
        for settings in ("resources.webhook.enabled=false", "resources.cases.enabled=false", "resources.enabled=false"):
            for mode in ("separate", "allInOne"):
                rendered = objects("--set", f"{settings},mode={mode}")
                text = yaml.safe_dump_all(rendered)
                with self.subTest(f"{settings} {mode}"):
                    self.assertNotIn("9443", text)
                    self.assertNotIn("immune-webhook", text)
                    self.assertNotIn("immune-seal", text)

    def test_certificates(self):
        """Guarantees: the API server trusts who signed the webhook's certificate: the chart's authority, cert-manager's, or
        the one that is given; in both modes."""
        issuer = "tls.source=certManager,tls.certManager.issuerRef.name=i"
        for mode in ("separate", "allInOne"):
            made = objects("--set", f"mode={mode}")
            bundle = named(made, "MutatingWebhookConfiguration", WEBHOOK)["webhooks"][0]["clientConfig"]["caBundle"]
            certificate = named(made, "Secret", "immune-webhook-tls")["data"]
            with self.subTest(mode):
                self.assertEqual(bundle, certificate["ca.crt"])
                self.assertEqual(bundle, named(made, "Secret", "immune-ca")["data"]["tls.crt"])
            rendered = objects("--set", f"mode={mode},{issuer}")
            asked = named(rendered, "Certificate", "immune-webhook")
            configured = named(rendered, "MutatingWebhookConfiguration", WEBHOOK)
            with self.subTest(f"{mode} {issuer}"):
                self.assertEqual(asked["spec"]["secretName"], "immune-webhook-tls")
                self.assertIn(f"immune-webhook.{NAMESPACE}.svc", asked["spec"]["dnsNames"])
                said = configured["metadata"]["annotations"]["cert-manager.io/inject-ca-from"]
                self.assertEqual(said, f"{NAMESPACE}/immune-webhook")
                self.assertNotIn("caBundle", configured["webhooks"][0]["clientConfig"])
                self.assertIsNone(named(rendered, "Secret", "immune-webhook-tls"))
            given = "resources.webhook.existingSecret=mine,resources.webhook.caBundle=-----BEGIN CERTIFICATE-----x"
            rendered = objects("--set", f"mode={mode},{given}")
            configured = named(rendered, "MutatingWebhookConfiguration", WEBHOOK)["webhooks"][0]["clientConfig"]
            with self.subTest(f"{mode} {given}"):
                self.assertEqual(base64.b64decode(configured["caBundle"]), b"-----BEGIN CERTIFICATE-----x")
                self.assertIsNone(named(rendered, "Secret", "immune-webhook-tls"))
                volumes = [volume for _, _, spec in pods(rendered) for volume in spec.get("volumes", [])]
                self.assertIn("mine", {volume.get("secret", {}).get("secretName") for volume in volumes})

    def test_a_key_of_yours(self):
        """Guarantees: a named Secret is used in place of a generated one."""
        settings = "resources.webhook.sealKey.existingSecret=mine,resources.webhook.sealKey.existingSecretKey=hmac"
        rendered = objects("--set", settings)
        self.assertIsNone(named(rendered, "Secret", "immune-seal"))
        spec = named(rendered, "Deployment", "immune-quarantine")["spec"]["template"]["spec"]
        seal = next(volume for volume in spec["volumes"] if volume["name"] == "seal")["secret"]
        self.assertEqual(seal, {"secretName": "mine", "items": [{"key": "hmac", "path": "key"}]})


class Kept(Held):
    def test_webhook_and_seal_stay_at_upgrades(self):
        """Scenario: the chart is installed in one pod, upgraded, and later split into roles.
        Guarantees: authority, certificate and seal stay; the API server goes on trusting the same."""
        installed = self.render("--set", "mode=allInOne")
        self.keep(installed)
        for settings in ("mode=allInOne,policy.mode=observe", "mode=separate"):
            upgraded = self.render("--is-upgrade", "--set", settings)
            before, after = self.secrets(installed), self.secrets(upgraded)
            for name in ("immune-ca", "immune-webhook-tls", "immune-seal"):
                self.assertEqual(after[name], before[name], f"{settings} {name}")
            configured = [named(one, "MutatingWebhookConfiguration", WEBHOOK) for one in (installed, upgraded)]
            self.assertEqual(*(one["webhooks"][0]["clientConfig"] for one in configured))

    def test_the_authority_of_a_given_secret(self):
        """Scenario: a Secret of yours has ca.crt beside the certificate.
        Guarantees: it is found there."""
        Cluster.hold({"metadata": {"name": "mine"}, "stringData": {"ca.crt": "-----BEGIN CERTIFICATE-----x"}})
        rendered = self.render("--set", "resources.webhook.existingSecret=mine")
        bundle = named(rendered, "MutatingWebhookConfiguration", WEBHOOK)["webhooks"][0]["clientConfig"]["caBundle"]
        self.assertEqual(base64.b64decode(bundle), b"-----BEGIN CERTIFICATE-----x")


class Removing(unittest.TestCase):
    def test_letting_go_is_the_last_thing(self):
        """Guarantees: agents are let go when nobody is left to contain them again; what the Job needs is there before it
        and goes when it has done its work."""
        rendered = objects("--set", "levers.kubernetes.enabled=true")
        hooks = [one for one in rendered if one["metadata"]["labels"]["app.kubernetes.io/component"] == "uninstall"]
        kinds = {"Job", "ServiceAccount", "Role", "RoleBinding", "ConfigMap", "NetworkPolicy"}
        self.assertEqual({one["kind"] for one in hooks}, kinds)
        for one in hooks:
            said = one["metadata"]["annotations"]
            policies = said["helm.sh/hook-delete-policy"].split(",")
            self.assertEqual(said["helm.sh/hook"], "post-delete")
            self.assertLessEqual({"before-hook-creation", "hook-succeeded"}, set(policies))
            self.assertEqual(int(said.get("helm.sh/hook-weight", 0)) < 0, one["kind"] != "Job")
            self.assertEqual("hook-failed" in policies, one["kind"] != "Job", "who failed stays to be read")
        job = next(one for one in hooks if one["kind"] == "Job")["spec"]
        self.assertLess(job["activeDeadlineSeconds"], 300, "helm waits for so long")
        [container] = job["template"]["spec"]["containers"]
        self.assertEqual(container["args"], ["uninstall-quarantines", "--config", "/etc/immune/uninstall.yaml"])
        names = {volume.get("secret") for volume in job["template"]["spec"]["volumes"]}
        self.assertEqual(names, {None}, "Secrets of the release are gone by then")

    def test_without_the_lever(self):
        """Guarantees: where nothing can have been contained, nothing runs."""
        self.assertNotIn("post-delete", yaml.safe_dump_all(objects()))

    def test_notes(self):
        """Guarantees: who installs is told how to see policies and cases, where there are any."""
        command = "kubectl get immunepolicies,agentcases"
        for settings, is_told in (("resources.enabled=true", True), ("resources.enabled=false", False)):
            dry = ("--dry-run=client", "--namespace", NAMESPACE, "--set", settings)
            status, out, error = run("install", "immune", CHART, *dry)
            self.assertEqual(status, 0, error)
            self.assertEqual(command in out.split("\nNOTES:")[1], is_told, settings)

    def test_definitions_are_no_templates(self):
        """Guarantees: a rendering holds no CustomResourceDefinition: Helm takes those from `crds`, and never deletes them."""
        self.assertNotIn("CustomResourceDefinition", {one["kind"] for one in objects()})
        self.assertTrue((CHART / "crds").is_dir())


class Egress(unittest.TestCase):
    def test_api_server(self):
        """Guarantees: where what goes out is cut, a pod reaches the API server exactly when it has a token for it."""
        settings = "networkPolicy.egress.enabled=true,resources.policies=false,levers.kubernetes.enabled=true"
        rendered = objects("--set", settings)
        tokens = {}
        for _, labels, spec in pods(rendered):
            tokens[labels["app.kubernetes.io/component"]] = spec["automountServiceAccountToken"]
        policies = [one for one in rendered if one["kind"] == "NetworkPolicy"]
        self.assertEqual(len(policies), 8)
        for one in policies:
            role = one["metadata"]["labels"]["app.kubernetes.io/component"]
            self.assertIn("Egress", one["spec"]["policyTypes"])
            ports = {port["port"] for rule in one["spec"].get("egress", []) for port in rule.get("ports", [])}
            self.assertEqual({443, 6443} <= ports, tokens[role], role)
            self.assertEqual(53 in ports, role != "postgresql", role)
        for one in objects():
            if one["kind"] == "NetworkPolicy" and "postgresql" not in one["metadata"]["name"]:
                self.assertEqual(one["spec"]["policyTypes"], ["Ingress"])


if __name__ == "__main__":
    unittest.main()
