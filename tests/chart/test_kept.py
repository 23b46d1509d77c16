"""What the chart makes by chance, it makes once: seen through an API server of a few lines, which is only ever read."""

import base64
import http.server
import json
import pathlib
import tempfile
import threading
import unittest

import yaml
from chart import CHART, NAMESPACE, RELEASE, run

SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets/"
KINDS = {
    "/api/v1": ["ConfigMap", "PersistentVolumeClaim", "Pod", "Secret", "Service", "ServiceAccount"],
    "/apis/apps/v1": ["Deployment", "StatefulSet"],
    "/apis/batch/v1": ["Job"],
    "/apis/admissionregistration.k8s.io/v1": ["MutatingWebhookConfiguration"],
    "/apis/rbac.authorization.k8s.io/v1": ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"],
    "/apis/networking.k8s.io/v1": ["NetworkPolicy"],
    "/apis/policy/v1": ["PodDisruptionBudget"],
}
AUTHORITIES = f"/api/v1/namespaces/{NAMESPACE}/configmaps/kube-root-ca.crt"


class Cluster(http.server.BaseHTTPRequestHandler):
    """Answers what Helm asks before it renders: which kinds there are, and single objects."""

    held = {}

    @classmethod
    def hold(cls, secret):
        cls.held[SECRETS + secret["metadata"]["name"]] = held(secret)

    def do_GET(self):
        path = self.path.split("?")[0]
        found = discovery(path) or self.held.get(path)
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
        body = json.dumps(found or status).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def discovery(path):
    """What an API server says of itself at a path, if anything."""
    if path == "/version":
        return {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        versions = [known.removeprefix("/apis/") for known in KINDS if known != "/api/v1"]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group(version) for version in versions]}
    if path in KINDS:
        version = path.removeprefix("/apis/").removeprefix("/api/")
        return {"kind": "APIResourceList", "groupVersion": version, "resources": [resource(kind) for kind in KINDS[path]]}
    return None


def group(version):
    served = {"groupVersion": version, "version": version.split("/")[1]}
    return {"name": version.split("/")[0], "versions": [served], "preferredVersion": served}


def resource(kind):
    plural = kind.lower().removesuffix("y") + ("ies" if kind.endswith("y") else "s")
    is_namespaced = not kind.startswith(("Cluster", "Mutating"))
    return {"name": plural, "singularName": kind.lower(), "namespaced": is_namespaced, "kind": kind, "verbs": ["get", "list"]}


def held(secret):
    """A Secret as a cluster keeps it: all of it in base64 under `data`."""
    data = dict(secret.get("data", {}))
    for key, value in secret.get("stringData", {}).items():
        data[key] = base64.b64encode(value.encode()).decode()
    return {"apiVersion": "v1", "kind": "Secret", "metadata": secret["metadata"], "data": data}


class Held(unittest.TestCase):
    """A cluster that holds Secrets, and the chart rendered for it."""

    def setUp(self):
        Cluster.held = {}
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cluster)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.kubeconfig = pathlib.Path(folder.name) / "kubeconfig"
        cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
        context = {"name": "c", "context": {"cluster": "c", "user": "c"}}
        config = {"clusters": [cluster], "contexts": [context], "users": [{"name": "c"}], "current-context": "c"}
        self.kubeconfig.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **config}))

    def render(self, *more):
        """The objects as `helm upgrade` would render them, able to look things up."""
        asked = ("--dry-run=server", "--disable-openapi-validation", "--kubeconfig", self.kubeconfig, "--namespace", NAMESPACE)
        status, out, error = run("template", RELEASE, CHART, *asked, *more)
        self.assertEqual(status, 0, error)
        return [one for one in yaml.safe_load_all(out) if one]

    def keep(self, rendered):
        for one in rendered:
            if one["kind"] == "Secret":
                Cluster.hold(one)

    def secrets(self, rendered):
        return {one["metadata"]["name"]: held(one)["data"] for one in rendered if one["kind"] == "Secret"}


class Kept(Held):
    def test_keys_password_and_certificates_are_made_once(self):
        """Scenario: the chart is installed, then upgraded with other values.
        Guarantees: every generated Secret has the contents that it had; a second installation elsewhere has others."""
        installed = self.render()
        elsewhere = self.render()
        made = self.secrets(installed)
        self.assertEqual(len(made), 11, sorted(made))
        for name, data in self.secrets(elsewhere).items():
            self.assertNotEqual(data, made[name], name)
        self.keep(installed)
        upgraded = self.render("--is-upgrade", "--set", "policy.mode=observe")
        self.assertEqual(self.secrets(upgraded), made)

    def test_a_lost_certificate_is_made_by_the_same_authority(self):
        """Scenario: somebody deletes the Secret of one role before an upgrade.
        Guarantees: that role gets a new certificate of the same authority, and the others keep theirs."""
        installed = self.render()
        self.keep(installed)
        del Cluster.held[SECRETS + "immune-healer-tls"]
        made, again = self.secrets(installed), self.secrets(self.render("--is-upgrade"))
        self.assertNotEqual(again["immune-healer-tls"]["tls.crt"], made["immune-healer-tls"]["tls.crt"])
        self.assertEqual(again["immune-healer-tls"]["ca.crt"], made["immune-healer-tls"]["ca.crt"])
        del again["immune-healer-tls"], made["immune-healer-tls"]
        self.assertEqual(again, made)

    def test_a_migration_needs_a_database_that_is_there(self):
        """Scenario: an upgrade from one pod to separate roles, whose Secret of the database comes with it.
        Guarantees: no Job waits for that Secret before the upgrade; the next upgrade has the Job."""
        Cluster.held[AUTHORITIES] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kube-root-ca.crt"}}
        first = self.render("--is-upgrade")
        self.assertNotIn("Job", {one["kind"] for one in first})
        self.keep(first)
        self.assertIn("Job", {one["kind"] for one in self.render("--is-upgrade")})


if __name__ == "__main__":
    unittest.main()
