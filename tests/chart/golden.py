"""What each profile renders of rights, webhook and configuration, as kept in `golden/`: `python golden.py` writes it anew.
A change of any of it is seen in review."""

import pathlib

import yaml
from chart import PROFILES, of_profile

FOLDER = pathlib.Path(__file__).parent / "golden"
KINDS = ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "MutatingWebhookConfiguration")
HEADER = "# Rights, webhook and configuration of ci/{}: tests/chart/golden.py writes this.\n"


def without_chance(one):
    """An object without what is made anew at each rendering, and the labels that all have."""
    meta = {key: value for key, value in one["metadata"].items() if key != "labels"}
    for webhook in one.get("webhooks", []):
        if "caBundle" in webhook["clientConfig"]:
            webhook["clientConfig"]["caBundle"] = "bWFkZQ=="
    return {**one, "metadata": meta}


def rendered(profile):
    """The file's text for a profile."""
    kept = []
    for one in of_profile(profile):
        if one["kind"] in KINDS:
            kept.append(without_chance(one))
        elif one["kind"] == "ConfigMap":
            kept += [yaml.safe_load(text) for name, text in one["data"].items() if name in ("immune.yaml", "uninstall.yaml")]
    # Words stay on their lines, so that a change is a line.
    return HEADER.format(profile.name) + yaml.safe_dump_all(kept, width=10_000, sort_keys=False, default_flow_style=None)


def file(profile):
    return FOLDER / profile.name.replace("-values", "")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.yaml"):
        old.unlink()
    for each in PROFILES:
        file(each).write_text(rendered(each))
