"""What a rendering allows whom: its Roles and bindings, read as an API server would."""

import yaml
from chart import CHART, NAMESPACE

READING = {"get", "list", "watch"}
# Where the cluster's own things are that agents run as, and what they read.
WORKLOADS = {
    ("apps", "deployments"),
    ("apps", "statefulsets"),
    ("apps", "daemonsets"),
    ("", "pods"),
    ("", "services"),
    ("", "configmaps"),
    ("networking.k8s.io", "networkpolicies"),
    ("cilium.io", "ciliumnetworkpolicies"),
    ("agents.x-k8s.io", "sandboxes"),
}


def rules(rendered):
    """Every rule of every Role."""
    for one in rendered:
        if one["kind"] in ("Role", "ClusterRole"):
            yield from one["rules"]


def granted(rendered):
    """What accounts may do, as (account, namespace or * for all, group, resource, verb, names)."""
    roles = {(one["kind"], place(one), one["metadata"]["name"]): one for one in rendered if "rules" in one}
    out = set()
    for one in rendered:
        if one["kind"] not in ("RoleBinding", "ClusterRoleBinding"):
            continue
        role = roles[(one["roleRef"]["kind"], place(one), one["roleRef"]["name"])]
        for subject in one["subjects"]:
            assert (subject["kind"], subject["namespace"]) == ("ServiceAccount", NAMESPACE), subject
            for rule in role["rules"]:
                names = tuple(rule.get("resourceNames", ()))
                for group in rule["apiGroups"]:
                    for resource in rule["resources"]:
                        for verb in rule["verbs"]:
                            out.add((subject["name"].removeprefix("immune-"), place(one), group, resource, verb, names))
    return out


def place(one):
    return one["metadata"].get("namespace", "*")


def listed(*files):
    """What files of `files/rbac` say, as (group, resource, verb)."""
    out = set()
    for file in files:
        for rule in yaml.safe_load((CHART / f"files/rbac/{file}.yaml").read_text()):
            out |= {(group, one, verb) for group in rule["apiGroups"] for one in rule["resources"] for verb in rule["verbs"]}
    return out
