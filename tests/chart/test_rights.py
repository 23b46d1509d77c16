"""Who may do what in the cluster: no more than the values ask for, and nothing for the others."""

import unittest

import yaml
from chart import NAMESPACE, PROFILES, objects, of_profile, pods
from rights import READING, WORKLOADS, granted, listed, place, rules

LEVER = {"quarantine", "healer"}
ROLES = {"ingestion", "baseline", "sentinel", "dashboard"} | LEVER
ENABLED = "levers.kubernetes.enabled=true"


def given(settings):
    return objects("--set", settings)


def what(rights, *accounts):
    """(group, resource, verb) of what accounts may do."""
    return {right[2:5] for right in rights if right[0] in accounts}


class LeastPrivilege(unittest.TestCase):
    def test_only_who_acts_touches_workloads(self):
        """Guarantees: whatever the values, only quarantine, healer, the one pod that is both, and the Job at `helm uninstall`
        may as much as read workloads, in no other namespaces than those that are named."""
        for profile in PROFILES:
            rendered = of_profile(profile)
            config = configuration(rendered)
            lever = (config.get("levers") or {}).get("kubernetes", {})
            allowed = {"*"} if lever.get("all_namespaces") else set(lever.get("namespaces", []))
            touching = [right for right in granted(rendered) if right[2:4] in WORKLOADS]
            with self.subTest(profile.name):
                self.assertEqual(bool(touching), lever.get("enabled", False))
                self.assertEqual({right[1] for right in touching}, allowed)
                self.assertLessEqual({right[0] for right in touching}, LEVER | {"all", "uninstall"})

    def test_observing_writes_nothing(self):
        """Scenario: policy is to observe.
        Guarantees: no account of a role may change a workload, while each reads what it did; the Job that runs when the
        release is removed, and has rights only then, may still let go what was contained before."""
        settings = f"{ENABLED},levers.kubernetes.cilium=true,levers.kubernetes.sandboxes=true,levers.kubernetes.kagent=true"
        for mode in ("separate", "allInOne"):
            acting = granted(given(f"{settings},mode={mode}"))
            observing = granted(given(f"{settings},mode={mode},policy.mode=observe"))
            roles = {right for right in observing if right[0] != "uninstall"}
            touched = {right for right in roles if right[2:4] in WORKLOADS}
            with self.subTest(mode):
                self.assertEqual({right[4] for right in touched} - READING, set())
                lost = acting - observing
                self.assertEqual({right[4] for right in lost} & READING, set())
                self.assertEqual(observing - acting, set())
                self.assertEqual(what(observing, "uninstall"), what(acting, "uninstall"))
                self.assertIn(("networking.k8s.io", "networkpolicies", "delete"), what(observing, "uninstall"))
        config = configuration(given(f"{settings},policy.mode=observe"))
        self.assertEqual(config["policy"]["defaults"]["mode"], "observe")

    def test_no_wildcards(self):
        """Guarantees: no rule is for every group, resource or verb, nor one that gives rights or reads Secrets."""
        for profile in PROFILES:
            for rule in rules(of_profile(profile)):
                with self.subTest(f"{profile.name} {rule}"):
                    self.assertNotIn("*", rule["apiGroups"] + rule["resources"] + rule["verbs"])
                    self.assertTrue(rule["verbs"] and rule["resources"])
                    self.assertEqual({"escalate", "bind", "impersonate"} & set(rule["verbs"]), set())
                    self.assertNotIn("secrets", rule["resources"])
                    self.assertNotIn("rbac.authorization.k8s.io", rule["apiGroups"])

    def test_tokens(self):
        """Guarantees: a pod has a token when its account has rights, which follows from what is on."""
        for settings, talking in {
            "resources.enabled=false": set(),
            f"resources.enabled=false,{ENABLED}": LEVER | {"uninstall"},
            "resources.policies=false": {"quarantine"},
            "resources.cases.enabled=false": ROLES,
            "policy.mode=observe": ROLES,
            "resources.policies=false,resources.cases.enabled=false": set(),
            "mode=allInOne": {"all"},
            "mode=allInOne,resources.enabled=false": set(),
        }.items():
            rendered = given(settings)
            tokens = {
                spec["serviceAccountName"].removeprefix("immune-")
                for _, _, spec in pods(rendered)
                if spec["automountServiceAccountToken"]
            }
            with self.subTest(settings):
                self.assertEqual(tokens, talking)
                self.assertEqual({right[0] for right in granted(rendered)}, talking)
        for one in given(ENABLED):
            if one["kind"] == "ServiceAccount":
                self.assertFalse(one["automountServiceAccountToken"], "a pod asks for a token itself")


class Features(unittest.TestCase):
    def test_each_has_its_rules(self):
        """Guarantees: what is on has the rules of its file, for the accounts that need them; what is off has none of them."""
        off = granted(given("resources.enabled=false"))
        self.assertEqual(off, set())
        lever = granted(given(f"resources.enabled=false,{ENABLED}"))
        self.assertEqual(what(lever, "quarantine"), listed("levers", "levers-cluster"))
        self.assertEqual(what(lever, "healer"), listed("levers", "levers-cluster"))
        for value, file in {"cilium": "levers-cilium", "sandboxes": "levers-sandbox", "kagent": "levers-kagent"}.items():
            more = granted(given(f"resources.enabled=false,{ENABLED},levers.kubernetes.{value}=true"))
            with self.subTest(value):
                self.assertFalse(listed(file) & what(lever, "quarantine", "healer", "uninstall"))
                self.assertEqual(what(more, "quarantine") - what(lever, "quarantine"), listed(file))
                self.assertEqual(what(more, "healer") - what(lever, "healer"), listed(file))
                undoing = {right for right in listed(file) if right[2] != "create"}
                self.assertEqual(what(more, "uninstall") - what(lever, "uninstall"), undoing)
        shown = granted(objects())
        for role in ROLES:
            more = listed("cases", "admission", "policies-status") if role == "quarantine" else set()
            self.assertEqual(what(shown, role), listed("policies") | more, role)
        self.assertEqual(what(granted(given("resources.policies=false")), *ROLES), listed("cases", "admission"))
        unseen = what(granted(given("resources.cases.enabled=false")), *ROLES)
        self.assertEqual(unseen, listed("policies", "policies-status"))
        undecided = granted(given("resources.webhook.enabled=false"))
        self.assertEqual(what(undecided, "quarantine"), listed("policies", "policies-status", "cases"))

    def test_all_in_one_has_the_same(self):
        """Guarantees: the one account of one pod has what quarantine, healer and the others have together."""
        everywhere = f"{ENABLED},levers.kubernetes.allNamespaces=true"
        for settings in (ENABLED, everywhere, "resources.enabled=false", "policy.mode=observe"):
            apart, together = granted(given(settings)), granted(given(f"{settings},mode=allInOne"))
            with self.subTest(settings):
                self.assertEqual({right[0] for right in together} - {"uninstall"}, {"all"} if what(apart, *ROLES) else set())
                self.assertEqual({("all", *right[1:]) for right in apart if right[0] != "uninstall"}, of(together, "all"))
                self.assertEqual(of(apart, "uninstall"), of(together, "uninstall"))

    def test_uninstalling_needs_part_of_the_lever(self):
        """Guarantees: the Job that lets everyone go creates nothing, and has no right that the lever has not."""
        self.assertLess(listed("uninstall"), listed("levers"))
        self.assertNotIn("create", {right[2] for right in listed("uninstall")})
        kept = given(f"{ENABLED},uninstall.keepQuarantines=true")
        self.assertEqual([one for one in kept if one["metadata"]["labels"]["app.kubernetes.io/component"] == "uninstall"], [])

    def test_people(self):
        """Guarantees: who may view sees, who administers decides; nobody of ours may decide; off, there is neither."""
        people = {one["metadata"]["name"]: one for one in objects() if one["kind"] == "ClusterRole"}
        view, operator = people["immune-view"], people["immune-operator"]
        self.assertEqual(view["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"], "true")
        self.assertEqual({verb for rule in view["rules"] for verb in rule["verbs"]}, READING)
        self.assertEqual(operator["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-admin"], "true")
        self.assertIn("decide", next(rule for rule in operator["rules"] if rule["resources"] == ["agentcases"])["verbs"])
        self.assertNotIn("decide", {right[4] for right in granted(objects())})
        for settings in ("resources.aggregatedRoles=false", "resources.enabled=false"):
            names = {one["metadata"]["name"] for one in given(settings) if one["kind"] == "ClusterRole"}
            self.assertEqual(names & {"immune-view", "immune-operator"}, set())


class Namespaces(unittest.TestCase):
    def test_lever(self):
        """Guarantees: the lever has rights and is configured for the same namespaces: those that are named, else the
        release's own, or all; it may read no others' labels."""
        for settings, wanted, everywhere in [
            (ENABLED, [NAMESPACE], False),
            (ENABLED + ",levers.kubernetes.namespaces={a,b}", ["a", "b"], False),
            (ENABLED + ",levers.kubernetes.allNamespaces=true", [], True),
        ]:
            rendered = given(settings)
            config = configuration(rendered)["levers"]["kubernetes"]
            undoing = yaml.safe_load(named(rendered, "ConfigMap", "immune-uninstall")["data"]["uninstall.yaml"])
            rights = granted(rendered)
            touching = {right for right in rights if right[2:4] in WORKLOADS}
            with self.subTest(settings):
                self.assertEqual((config["namespaces"], config["all_namespaces"]), (wanted, everywhere))
                self.assertEqual(undoing["levers"]["kubernetes"], config)
                for account in (*LEVER, "uninstall"):
                    where = {right[1] for right in touching if right[0] == account}
                    self.assertEqual(where, {"*"} if everywhere else set(wanted), account)
                labels = {right[5] for right in rights if right[3] == "namespaces"}
                self.assertEqual(labels, {tuple(wanted)}, "no names stand for all of them")

    def test_resources(self):
        """Guarantees: policies and cases count in the release's own namespace and in those that are named, else in those of
        the lever; rights, configuration and webhook say the same."""
        for settings, more, everywhere in [
            ("resources.enabled=true", [], False),
            (f"{ENABLED},levers.kubernetes.namespaces={{a,b}}", ["a", "b"], False),
            (f"{ENABLED},levers.kubernetes.namespaces={{a,{NAMESPACE}}}", ["a"], False),
            (f"{ENABLED},levers.kubernetes.namespaces={{a}},resources.namespaces={{c}}", ["c"], False),
            (f"{ENABLED},levers.kubernetes.allNamespaces=true", [], True),
            (f"{ENABLED},levers.kubernetes.allNamespaces=true,resources.namespaces={{c}}", ["c"], False),
            ("levers.kubernetes.namespaces={a}", [], False),
            ("resources.allNamespaces=true", [], True),
        ]:
            rendered = given(settings)
            config = configuration(rendered)["resources"]
            with self.subTest(settings):
                said = config["namespace"], config["namespaces"], config["all_namespaces"]
                self.assertEqual(said, (NAMESPACE, more, everywhere))
                where = {right[1] for right in granted(rendered) if right[2] == "immune.io"}
                self.assertEqual(where, {"*"} if everywhere else {NAMESPACE, *more})
                webhook = named(rendered, "MutatingWebhookConfiguration", f"{NAMESPACE}-immune-webhook")["webhooks"][0]
                asked = webhook.get("namespaceSelector", {}).get("matchExpressions", [{"values": None}])[0]["values"]
                self.assertEqual(asked, None if everywhere else [NAMESPACE, *more])

    def test_two_releases_side_by_side(self):
        """Guarantees: what lies in the cluster or in others' namespaces is called after the release and its namespace."""
        for one in given(f"{ENABLED},levers.kubernetes.namespaces={{a}},resources.aggregatedRoles=false"):
            if place(one) != NAMESPACE:
                self.assertTrue(one["metadata"]["name"].startswith(f"{NAMESPACE}-immune-"), one["metadata"])


def of(rights, account):
    return {right for right in rights if right[0] == account}


def named(rendered, kind, name):
    [found] = [one for one in rendered if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def configuration(rendered):
    return yaml.safe_load(named(rendered, "ConfigMap", "immune")["data"]["immune.yaml"])


if __name__ == "__main__":
    unittest.main()
