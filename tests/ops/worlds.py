"""What Prometheus sees of an installation: a healthy one, and for each alert the change that makes it fire and one near
to it that does not."""

import json

from rules import flat, named, nothing, rising, steps, target

ROLES = ["ingestion", "baseline", "sentinel", "quarantine", "healer", "dashboard"]
STORES = ["PostgreSQL", "InfluxDB", "Redis"]
# promtool's clock starts at the epoch.
DAY = 86400


def of(role, metric, /, **labels):
    """The name of a series of a role's process."""
    return named(metric, target(role, **labels))


def healthy():
    """Six processes, each one role, all well: sixty executions a minute, every one judged, most of them learned."""
    world = {}
    for role in ROLES:
        world[of(role, "immune_runtime_role", role=role)] = flat(1)
        world[of(role, "immune_runtime_ready")] = flat(1)
        world[of(role, "immune_runtime_tls_certificate_expires")] = flat(60 * DAY)
        world[of(role, "immune_runtime_tls_reload_failures_total")] = flat(0)
        world[of(role, "immune_runtime_calls_total", role="quarantine", outcome="ok")] = rising(60)
        world[of(role, "immune_runtime_calls_total", role="quarantine", outcome="failed")] = flat(2)
        for store in STORES:
            world[of(role, "immune_runtime_condition", condition=store)] = flat(1)
    ingestion = {
        'requests_total{"signal":"Traces"}': rising(60),
        'items_total{"signal":"Traces"}': rising(600),
        "executions_total": rising(60),
        "executions_late_total": rising(1),
        "traces_finished_early": flat(3),
        "store_retries_total": flat(7),
        "records_lost_total": flat(0),
        'requests_refused_total{"reason":"overloaded"}': rising(1),
        'requests_refused_total{"reason":"not_allowed"}': rising(1),
        "tls_certificate_expires": flat(0),
        "tls_reload_failures_total": flat(0),
    }
    baseline = {
        "agents": flat(12),
        "agents_suspect": flat(0),
        "executions_learned_total": rising(50),
        "executions_refused_total": flat(0),
        "store_failures_total": flat(1),
    }
    sentinel = {
        'executions_judged_total{"reason":"healthy"}': rising(55),
        'executions_judged_total{"reason":"open_case"}': rising(5),
        "lag_seconds": flat(0.1),
        "agents_active": flat(12),
        "agents_suspect": flat(2),
        "agents": flat(200),
        "agents_silent": flat(2),
        "agents_evicted_total": flat(0),
        "reports_dropped_total": flat(1),
        "report_retries_total": flat(4),
        "fleet_incidents": flat(0),
        "held_back_total": flat(3),
        "executions_contained_untold_total": flat(0),
    }
    quarantine = {
        "cases_breached": flat(0),
        "breaches_total": flat(2),
        "containments_lost_total": flat(1),
        "cases_beyond_blast_radius_total": flat(1),
        "unconfirmed_longest_seconds": steps((0, 10), (60, 1), (0, 49)),
        "waiting_longest_seconds": flat(900),
        "feed_lag_seconds": flat(0.2),
        "admissions_uncertain_total": flat(3),
        'lever_asks_total{"outcome":"done"}': rising(2),
        'lever_asks_total{"outcome":"failed"}': flat(9),
    }
    healer = {"ladders_exhausted_total": flat(1), "errors_total": flat(2)}
    dashboard = {
        'requests_total{"method":"GET","route":"/api/cases","status":"200"}': rising(100),
        'requests_total{"method":"GET","route":"/api/cases","status":"503"}': rising(1),
        'requests_refused_total{"reason":"stranger"}': rising(1),
        'request_seconds_bucket{"le":"0.1"}': rising(1000),
        'request_seconds_bucket{"le":"2.0"}': rising(1000),
        'request_seconds_bucket{"le":"+Inf"}': rising(1000),
    }
    for role, metrics in zip(ROLES, [ingestion, baseline, sentinel, quarantine, healer, dashboard], strict=True):
        add(world, role, f"immune_{role}_", metrics)
    for role in ["baseline", "sentinel"]:
        bus = {
            "lag_seconds": flat(0.3),
            "entries_trimmed_total": flat(0),
            "data_losses_total": flat(1),
            "partitions_held": flat(64),
        }
        add(world, role, "immune_bus_redis_", {f'{name}{{"consumer":"{role}"}}': v for name, v in bus.items()})
    influx = {
        "records_refused_total": flat(0),
        "spill_damaged_bytes_total": flat(0),
        "records_turned_away_total": flat(2),
        "spill_bytes": steps((0, 10), (4096, 5), (0, 45)),
    }
    add(world, "ingestion", "immune_influx_", influx)
    add(
        world,
        "quarantine",
        "immune_server_action_log_",
        {"unchained": steps((0, 10), (3, 2), (0, 48)), "sequence": rising(5, 100)},
    )
    gate = {
        "seconds_since_current": flat(0),
        "agents_beyond_room": flat(0),
        "tls_certificate_expires": flat(60 * DAY),
        "tls_reload_failures_total": flat(0),
        'checks_total{"answer":"allowed"}': rising(600),
        'checks_total{"answer":"denied_contained"}': rising(3),
        'checks_total{"answer":"denied_unidentified"}': rising(1),
    }
    add(world, "quarantine", "immune_gate_", gate)
    resources = {
        "policies_refused": steps((0, 10), (1, 4), (0, 46)),
        "policies_api_down": steps((0, 10), (1, 4), (0, 46)),
        "cases_api_down": flat(0),
        'admissions_total{"answer":"sealed"}': rising(1),
        'admissions_total{"answer":"denied"}': rising(1),
        'admissions_total{"answer":"unanswered"}': flat(2),
        'case_decisions_total{"outcome":"done"}': rising(1),
        'case_decisions_total{"outcome":"forged"}': flat(1),
    }
    add(world, "quarantine", "immune_resources_", resources)
    notify = {'lag_seconds{"target":"ops"}': flat(2), 'dead{"target":"ops"}': flat(0)}
    add(world, "quarantine", "immune_notify_", notify)
    world[of("dashboard", "immune_door_key_refresh_failures_total")] = flat(1)
    return world


def add(world, role, prefix, metrics):
    """Adds metrics written as `name` or `name{labels as JSON}`."""
    for written, values in metrics.items():
        name, _, labels = written.partition("{")
        labels = json.loads("{" + labels) if labels else {}
        world[of(role, prefix + name, **labels)] = values


def without(world, *words):
    """The world without the series whose names hold one of these words."""
    return {name: values for name, values in world.items() if not any(word in name for word in words)}


def gone(world, word, minute=20):
    """The series whose names hold a word end at a minute."""
    end = f" _x{60 - minute}"
    return {name: cut(values, minute) + end if word in name else values for name, values in world.items()}


def cut(values, minutes):
    """The first minutes of a series that was written by `flat` or `rising`."""
    return f"{values.rsplit('x', 1)[0]}x{minutes}"


def stuck(world, *words, minute=20):
    """The counters whose names hold one of these words stop at a minute."""
    changed = dict(world)
    for name, values in world.items():
        if "+" in values and any(word in name for word in words):
            start, step = values.rsplit("x", 1)[0].split("+")
            last = int(start) + int(step) * minute
            changed[name] = f"{cut(values, minute)} {flat(last)}"
    return changed


def but(world, role, metric, values, /, **labels):
    """The world with one series as given."""
    return {**world, of(role, metric, **labels): values}


def jump(before, after, minute=20):
    """A value that changes at a minute."""
    return steps((before, minute), (after, 60 - minute))


def climbs(per_minute, minute=20):
    """A counter that starts to grow at a minute."""
    return f"0x{minute - 1} {per_minute}+{per_minute}x{60 - minute}"


__all__ = ["ROLES", "STORES", "DAY", "of", "healthy", "without", "gone", "stuck", "but", "jump", "climbs", "nothing"]
