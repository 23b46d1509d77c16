"""For each alert: worlds in which it fires, with what it then says, and worlds close to them in which it does not.

A firing case is (world, minute, label sets beside the namespace); a silent one is (world, minute). What begins, begins at
minute 20.
"""

from rules import flat, named, rising, steps
from worlds import DAY, ROLES, STORES, but, climbs, gone, healthy, jump, of, stuck, without

WELL = healthy()
ALL = [{}]
BARE = {}


def process(role):
    """The labels that name one process."""
    return {"job": "immune", "instance": f"{role}:9464"}


def counter_began(role, metric, /, labels=None, late=28, **series):
    """A counter that starts to grow at minute 20: fires at minute `late`, not at minute 15."""
    world = but(WELL, role, metric, climbs(2), **series)
    return [(world, late, labels or ALL)], [(world, 15)]


def above(role, metric, limit, labels, after, /, **series):
    """A gauge over its limit from minute 20 on: fires `after` minutes later and not before; not at the limit."""
    over = but(WELL, role, metric, jump(0, limit + 1), **series)
    return [(over, 20 + after, labels)], [(over, 20 + after - 2), (but(WELL, role, metric, flat(limit), **series), 50)]


CASES = {}

# A pause of two minutes, as in an upgrade, is none; an installation that is gone is.
CASES["ImmuneAbsent"] = (
    [({"up": flat(0)}, 6, [BARE])],
    [({of(r, "immune_runtime_role", role=r): "1x19 _x3 1x40" for r in ROLES}, 24)],
)
CASES["ImmuneRoleAbsent"] = (
    [(gone(WELL, f'instance="{role}:'), 30, [{"role": role}]) for role in ROLES],
    [(gone(WELL, 'instance="sentinel:'), 20), ({"up": flat(1)}, 50)],
)
two_sentinels = {
    **WELL,
    named("immune_runtime_role", {"namespace": "immune", "job": "immune", "instance": "b:9464", "role": "sentinel"}): flat(1),
    named("immune_runtime_ready", {"namespace": "immune", "job": "immune", "instance": "b:9464"}): flat(1),
}
unready = but(WELL, "sentinel", "immune_runtime_ready", jump(1, 0))
CASES["ImmuneRoleNotReady"] = (
    [(unready, 24, [{"role": "sentinel"}])],
    [(unready, 21), (but(two_sentinels, "sentinel", "immune_runtime_ready", jump(1, 0)), 50)],
)
CASES["ImmuneReplicaNotReady"] = ([(unready, 36, [process("sentinel")])], [(unready, 33)])

unjudged = stuck(WELL, "immune_sentinel_executions_judged")
asleep = stuck(WELL, "executions_", "immune_ingestion_requests_total", "immune_ingestion_items_total")
CASES["ImmuneGuardIsBlind"] = (
    # Also where the sentinel has never judged anything.
    [(unjudged, 29, ALL), (without(WELL, "executions_judged"), 20, ALL)],
    [(unjudged, 24), (asleep, 50)],
)
CASES["ImmuneJudgedLate"] = above("sentinel", "immune_sentinel_lag_seconds", 10, ALL, 6)
CASES["ImmuneJudgedLate"][1].append((but(asleep, "sentinel", "immune_sentinel_lag_seconds", flat(30)), 50))
silence = stuck(WELL, "immune_ingestion_requests_total")
CASES["ImmuneNoTelemetry"] = (
    [(silence, 37, ALL), (without(WELL, "immune_ingestion_requests_total"), 20, ALL)],
    # A new installation has no agents yet.
    [(silence, 28), (but(silence, "baseline", "immune_baseline_agents", flat(0)), 50)],
)
nobody = stuck(WELL, "immune_ingestion_executions_total")
CASES["ImmuneNoExecutions"] = ([(nobody, 52, ALL)], [(nobody, 40), (asleep, 59)])
late = but(WELL, "ingestion", "immune_ingestion_executions_late_total", climbs(30))
CASES["ImmuneExecutionsLate"] = (
    [(late, 40, ALL)],
    [(late, 25), (but(WELL, "ingestion", "immune_ingestion_executions_late_total", rising(5)), 50)],
)
untaught = stuck(WELL, "executions_learned")
sick = stuck(untaught, 'reason="healthy"')
CASES["ImmuneBaselinesNotProgressing"] = ([(untaught, 52, ALL)], [(untaught, 40), (sick, 59)])
CASES["ImmuneAgentsBeyondLimit"] = counter_began("sentinel", "immune_sentinel_agents_evicted_total")
CASES["ImmuneAgentsBeyondLimit"][0].extend(counter_began("baseline", "immune_baseline_executions_refused_total")[0])

refused = "immune_ingestion_requests_refused_total"
full = but(WELL, "ingestion", refused, climbs(60), reason="overloaded")
stranger = but(WELL, "ingestion", refused, climbs(60), reason="not_allowed")
CASES["ImmuneIngestionRefusing"] = ([(full, 30, [{"reason": "overloaded"}])], [(full, 23), (stranger, 50)])
CASES["ImmuneTelemetryRefused"] = ([(stranger, 40, [{"reason": "not_allowed"}])], [(stranger, 30), (full, 50)])
early = but(WELL, "ingestion", "immune_ingestion_traces_finished_early", climbs(3))
CASES["ImmuneTracesFinishedEarly"] = ([(early, 33, ALL)], [(early, 28)])
CASES["ImmuneIngestionCannotStore"] = counter_began("ingestion", "immune_ingestion_store_retries_total")
CASES["ImmuneRecordsLost"] = counter_began("ingestion", "immune_ingestion_records_lost_total")
for lost in ["records_refused_total", "spill_damaged_bytes_total"]:
    CASES["ImmuneRecordsLost"][0].extend(counter_began("ingestion", f"immune_influx_{lost}")[0])

sentinels = [{"consumer": "sentinel"}]
CASES["ImmuneBusLag"] = above("sentinel", "immune_bus_redis_lag_seconds", 30, sentinels, 6, consumer="sentinel")
CASES["ImmuneBusLosesVitals"] = counter_began(
    "sentinel", "immune_bus_redis_entries_trimmed_total", sentinels, consumer="sentinel"
)
CASES["ImmuneBusLosesVitals"][0].extend(
    counter_began("sentinel", "immune_bus_redis_data_losses_total", sentinels, consumer="sentinel")[0]
)
held = "immune_bus_redis_partitions_held"
fewer = but(WELL, "sentinel", held, jump(64, 40), consumer="sentinel")
# A handover: another replica has what this one gave up.
shared = but(fewer, "baseline", held, jump(0, 24), consumer="sentinel")
CASES["ImmuneBusPartitionsNotHeld"] = ([(fewer, 25, sentinels)], [(fewer, 21), (shared, 50)])
CASES["ImmuneBusRefuses"] = counter_began(
    "ingestion",
    "immune_bus_grpc_publications_refused_total",
    [{"consumer": "sentinel", "reason": "full"}],
    consumer="sentinel",
    reason="full",
)

CASES["ImmuneStoreAway"], CASES["ImmuneStoreUnreachableFromSome"] = ([], []), ([], [])
for store in STORES:
    away = dict(WELL)
    for role in ROLES:
        away = but(away, role, "immune_runtime_condition", jump(1, 0), condition=store)
    one = but(WELL, "healer", "immune_runtime_condition", jump(1, 0), condition=store)
    CASES["ImmuneStoreAway"][0].append((away, 23, [{"condition": store}]))
    CASES["ImmuneStoreAway"][1].extend([(away, 21), (one, 50)])
    CASES["ImmuneStoreUnreachableFromSome"][0].append((one, 26, [{"condition": store}]))
    CASES["ImmuneStoreUnreachableFromSome"][1].extend([(one, 24), (away, 50)])
CASES["ImmuneBaselineNotStored"] = counter_began("baseline", "immune_baseline_store_failures_total")
CASES["ImmuneVitalsSpill"] = above("ingestion", "immune_influx_spill_bytes", 0, ALL, 16)
CASES["ImmuneVitalsTurnedAway"] = counter_began("ingestion", "immune_influx_records_turned_away_total")
CASES["ImmuneActionLogNotChained"] = above("quarantine", "immune_server_action_log_unchained", 0, ALL, 21)
sequence = "immune_server_action_log_sequence"
restarted = but(WELL, "quarantine", sequence, steps((400, 20), (0, 2), (401, 38)))
CASES["ImmuneActionLogShorter"] = (
    [(but(WELL, "quarantine", sequence, jump(400, 390)), 32, ALL)],
    [(restarted, 21), (restarted, 50)],
)

CASES["ImmuneQuarantineNotConfirmed"] = above(
    "quarantine", "immune_quarantine_unconfirmed_longest_seconds", 120, ALL, 2
)
CASES["ImmuneQuarantineBreached"] = counter_began("quarantine", "immune_quarantine_breaches_total")
CASES["ImmuneQuarantineBreached"][0].append(
    (but(WELL, "quarantine", "immune_quarantine_cases_breached", jump(0, 1)), 21, ALL)
)
waiting = "immune_quarantine_waiting_longest_seconds"
CASES["ImmuneApprovalsWaiting"] = (
    [(but(WELL, "quarantine", waiting, flat(1801)), 5, ALL)],
    [(but(WELL, "quarantine", waiting, flat(1800)), 5)],
)
CASES["ImmuneBlastRadiusUsedUp"] = counter_began("quarantine", "immune_quarantine_cases_beyond_blast_radius_total")
CASES["ImmuneHealingExhausted"] = counter_began("healer", "immune_healer_ladders_exhausted_total")
asks = "immune_quarantine_lever_asks_total"
broken = but(WELL, "quarantine", asks, climbs(5), outcome="failed")
some = but(WELL, "quarantine", asks, climbs(1), outcome="failed")
# Levers that have never done anything have no series of success.
never = but(without(WELL, asks), "quarantine", asks, climbs(2), outcome="unknown")
CASES["ImmuneLeversFailing"] = ([(broken, 35, ALL), (never, 30, ALL)], [(broken, 19), (some, 50)])
CASES["ImmuneHealerFailing"] = counter_began("healer", "immune_healer_errors_total", late=30)
CASES["ImmuneInfectionsNotReported"] = ([], [])
for metric in ["reports_dropped_total", "report_retries_total", "executions_contained_untold_total"]:
    fires, silent = counter_began("sentinel", f"immune_sentinel_{metric}")
    CASES["ImmuneInfectionsNotReported"][0].extend(fires)
    CASES["ImmuneInfectionsNotReported"][1].extend(silent)
suspect = "immune_sentinel_agents_suspect"
CASES["ImmuneManyAgentsSuspect"] = (
    [(but(WELL, "sentinel", suspect, jump(0, 6)), 26, ALL)],
    [(but(WELL, "sentinel", suspect, jump(0, 6)), 23), (but(WELL, "sentinel", suspect, flat(5)), 50)],
)
CASES["ImmuneFleetIncident"] = above("sentinel", "immune_sentinel_fleet_incidents", 0, ALL, 2)
CASES["ImmuneBaselinesSuspect"] = above("baseline", "immune_baseline_agents_suspect", 0, ALL, 31)
CASES["ImmuneAgentsSilent"] = above("sentinel", "immune_sentinel_agents_silent", 2, ALL, 4)
CASES["ImmuneAdmissionStale"] = above("quarantine", "immune_quarantine_feed_lag_seconds", 30, ALL, 4)
CASES["ImmuneAdmissionStale"][0].extend(counter_began("quarantine", "immune_quarantine_admissions_uncertain_total")[0])

CASES["ImmuneGateStale"] = above("quarantine", "immune_gate_seconds_since_current", 30, ALL, 3)
CASES["ImmuneGateStale"][0].extend(counter_began("quarantine", "immune_gate_checks_total", answer="allowed_blind")[0])
CASES["ImmuneGateStale"][0].extend(counter_began("quarantine", "immune_gate_checks_total", answer="unavailable")[0])
CASES["ImmuneGateFull"] = above("quarantine", "immune_gate_agents_beyond_room", 0, ALL, 1)
strangers = but(WELL, "quarantine", "immune_gate_checks_total", climbs(60), answer="denied_unidentified")
contained = but(WELL, "quarantine", "immune_gate_checks_total", climbs(60), answer="denied_contained")
CASES["ImmuneUnknownCallersAtGate"] = (
    [(strangers, 35, [{"answer": "denied_unidentified"}])],
    [(strangers, 28), (contained, 50)],
)

CASES["ImmuneQuarantinesTakenAway"] = counter_began("quarantine", "immune_quarantine_containments_lost_total", late=22)
CASES["ImmunePoliciesRefused"] = above("quarantine", "immune_resources_policies_refused", 0, ALL, 6)
CASES["ImmuneClusterNotFollowed"] = above("quarantine", "immune_resources_policies_api_down", 0, ALL, 6)
CASES["ImmuneClusterNotFollowed"][0].extend(above("quarantine", "immune_resources_cases_api_down", 0, ALL, 6)[0])
CASES["ImmuneDecisionsUnanswered"] = counter_began(
    "quarantine", "immune_resources_admissions_total", late=22, answer="unanswered"
)
CASES["ImmuneDecisionsForged"] = counter_began(
    "quarantine", "immune_resources_case_decisions_total", late=22, outcome="forged"
)

ops = [{"target": "ops"}]
CASES["ImmuneNotificationsLate"] = above("quarantine", "immune_notify_lag_seconds", 300, ops, 6, target="ops")
CASES["ImmuneNotificationsDead"] = (
    [(but(WELL, "quarantine", "immune_notify_dead", jump(0, 1), target="ops"), 21, ops)],
    [(but(WELL, "quarantine", "immune_notify_dead", jump(0, 1), target="ops"), 15)],
)

expires = "immune_runtime_tls_certificate_expires"
week = but(WELL, "healer", expires, flat(6 * DAY))
hours = but(WELL, "healer", expires, flat(DAY // 2))
past = but(WELL, "ingestion", "immune_ingestion_tls_certificate_expires", flat(60))
CASES["ImmuneCertificateExpiresSoon"] = ([(week, 60, [process("healer")])], [(week, 58), (WELL, 60)])
CASES["ImmuneCertificateExpires"] = (
    [(hours, 20, [process("healer")]), (past, 20, [process("ingestion")])],
    [(week, 50), (hours, 10)],
)
CASES["ImmuneCertificateNotReloaded"] = ([], [])
for role, prefix in [("healer", "runtime"), ("ingestion", "ingestion"), ("dashboard", "dashboard"), ("quarantine", "gate")]:
    fires, silent = counter_began(role, f"immune_{prefix}_tls_reload_failures_total", [process(role)])
    CASES["ImmuneCertificateNotReloaded"][0].extend(fires)
    CASES["ImmuneCertificateNotReloaded"][1].extend(silent)

calls = {"role": "quarantine", "outcome": "failed"}
failing = but(WELL, "sentinel", "immune_runtime_calls_total", climbs(60), **calls)
CASES["ImmuneRoleCallsFail"] = (
    [(failing, 30, [{"role": "quarantine"}])],
    [(failing, 22), (but(WELL, "sentinel", "immune_runtime_calls_total", rising(1), **calls), 50)],
)
CASES["ImmuneRoleCallsRefused"] = counter_began(
    "quarantine", "immune_runtime_calls_refused_total", [{"reason": "token"}], late=33, reason="token"
)
CASES["ImmuneKeysNotRead"] = counter_began("dashboard", "immune_door_key_refresh_failures_total")
CASES["ImmuneSecretsGuessed"] = counter_began(
    "dashboard", "immune_dashboard_requests_refused_total", reason="locked_out"
)
answers = {"method": "GET", "route": "/api/cases", "status": "503"}
errors = but(WELL, "dashboard", "immune_dashboard_requests_total", climbs(50), **answers)
CASES["ImmuneApiFailing"] = ([(errors, 30, ALL)], [(errors, 22)])
slow = but(WELL, "dashboard", "immune_dashboard_request_seconds_bucket", rising(1000), le="10.0")
slow = but(slow, "dashboard", "immune_dashboard_request_seconds_bucket", rising(900), le="2.0")
slow = but(slow, "dashboard", "immune_dashboard_request_seconds_bucket", rising(900), le="0.1")
CASES["ImmuneApiSlow"] = ([(slow, 22, ALL)], [(slow, 8)])
