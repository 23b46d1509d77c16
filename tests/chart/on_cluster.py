"""`make chart-on-cluster`: installs the chart into the cluster that kubectl points at, in a namespace of its own, uses it,
upgrades it, rolls it back and removes it. The image has to be where the cluster finds it; arguments go to Helm, such as
`--set image.registry=registry.example`. Not part of `make test`, which has no cluster."""

import base64
import json
import subprocess
import sys
import uuid

from chart import CHART, helm

NAMESPACE = f"immune-test-{uuid.uuid4().hex[:8]}"
PATIENCE = "180s"


def said(*command):
    """Runs a command and returns what it printed; stops with its words when it fails."""
    ended = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{ended.stdout}{ended.stderr}")
    return ended.stdout


def kubectl(*arguments):
    return said("kubectl", "--namespace", NAMESPACE, *arguments)


def release(*arguments):
    return said(helm(), *arguments, "--namespace", NAMESPACE)


def secrets():
    """What the chart has made and must keep: name -> contents."""
    listed = json.loads(kubectl("get", "secrets", "-o", "json", "-l", "app.kubernetes.io/part-of=immune"))
    return {one["metadata"]["name"]: one["data"] for one in listed["items"]}


def step(what):
    print(what, flush=True)


def go(*more):
    step(f"installing into {NAMESPACE}")
    waiting = ("--wait", "--timeout", PATIENCE)
    release("install", "immune", CHART, "--create-namespace", *waiting, *more)
    made = secrets()
    assert base64.b64decode(made["immune-keys"]["admin"]).startswith(b"imk_"), "there is a key for the administrator"
    step("every role is ready; asking it as a user would")
    release("test", "immune")
    step("upgrading")
    release("upgrade", "immune", CHART, "--set", "policy.mode=observe", *waiting, *more)
    assert secrets() == made, "an upgrade keeps keys, password and certificates"
    assert "mode: observe" in kubectl("get", "configmap", "immune", "-o", "jsonpath={.data.immune\\.yaml}")
    step("rolling back")
    release("rollback", "immune", "1", *waiting)
    assert "mode: enforce" in kubectl("get", "configmap", "immune", "-o", "jsonpath={.data.immune\\.yaml}")
    release("test", "immune")
    step("removing")
    release("uninstall", "immune", *waiting)
    left = json.loads(kubectl("get", "deployments,services,statefulsets,networkpolicies", "-o", "json"))["items"]
    assert not left, [one["metadata"]["name"] for one in left]
    assert set(secrets()) == {"immune-keys", "immune-database"}, "what data depends on stays"


if __name__ == "__main__":
    try:
        go(*sys.argv[1:])
    finally:
        subprocess.run(["kubectl", "delete", "namespace", NAMESPACE, "--wait=false", "--ignore-not-found"], check=False)
    step("done")
