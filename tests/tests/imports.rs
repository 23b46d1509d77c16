//! The picture of the rooms in ARCHITECTURE.md, held against cargo's own metadata.

use cargo_metadata::{DependencyKind, MetadataCommand};
use std::collections::BTreeMap;

/// Rooms from the bottom up; a room may import rooms of a lower number only. `ingestion` to `simulator` stand on
/// one level and so never import each other.
const LEVELS: &[(u8, &[&str])] = &[
    (0, &["domain"]),
    (1, &["store", "bus", "levers"]),
    (2, &["proto"]),
    (3, &["runtime"]),
    (
        4,
        &[
            "store-sqlite",
            "store-postgres",
            "store-influx",
            "bus-grpc",
            "bus-redis",
            "export-otlp",
            "levers-kubernetes",
            "levers-lifecycle",
            "door",
            "notify",
            "gate",
            "resources",
        ],
    ),
    (
        5,
        &[
            "ingestion",
            "baseline",
            "sentinel",
            "quarantine",
            "healer",
            "dashboard",
            "simulator",
        ],
    ),
    (6, &["server"]),
    (7, &["tests"]),
    // Servers for the tests of any room; they import none.
    (0, &["test-servers", "test-kubernetes"]),
];

/// Libraries that only some rooms may see, so that exchanging one touches one room.
const KEPT_IN: &[(&str, &[&str])] = &[
    ("sqlx", &["store-sqlite", "store-postgres"]),
    ("redis", &["bus-redis"]),
    (
        "axum",
        &[
            "runtime",
            "door",
            "gate",
            "resources",
            "ingestion",
            "dashboard",
            "simulator",
            "server",
            "tests",
        ],
    ),
    (
        "kube",
        &["levers-kubernetes", "resources", "server", "test-kubernetes"],
    ),
    ("clap", &["server"]),
    ("envoy-types", &["gate"]),
    ("opentelemetry-proto", &["ingestion", "simulator", "tests"]),
];

fn imports() -> BTreeMap<String, Vec<String>> {
    let metadata = MetadataCommand::new()
        .no_deps()
        .exec()
        .expect("cargo metadata runs in a workspace");
    metadata
        .packages
        .iter()
        .map(|package| {
            let imports = package
                .dependencies
                .iter()
                .filter(|d| d.kind == DependencyKind::Normal);
            let room = package
                .name
                .strip_prefix("immune-")
                .unwrap_or(&package.name)
                .to_owned();
            (
                room,
                imports
                    .map(|d| d.name.strip_prefix("immune-").unwrap_or(&d.name).to_owned())
                    .collect(),
            )
        })
        .collect()
}

/// Scenario: every crate of the workspace and its ordinary dependencies.
/// Guarantees: imports point down only, and a new room must be given a level.
#[test]
fn imports_point_down() {
    let levels: BTreeMap<&str, u8> = LEVELS
        .iter()
        .flat_map(|(level, rooms)| rooms.iter().map(|room| (*room, *level)))
        .collect();
    let mut wrong = Vec::new();
    for (room, imports) in imports() {
        let Some(level) = levels.get(room.as_str()) else {
            wrong.push(format!(
                "{room} has no level: add it to LEVELS and to ARCHITECTURE.md"
            ));
            continue;
        };
        for import in imports {
            match levels.get(import.as_str()) {
                Some(lower) if lower >= level => wrong.push(format!("{room} imports {import}")),
                Some(_) | None => {}
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "imports that do not point down:\n{}",
        wrong.join("\n")
    );
}

/// Scenario: libraries that belong to one room.
/// Guarantees: no other room depends on them directly.
#[test]
fn libraries_stay_in_their_room() {
    let mut wrong = Vec::new();
    for (room, imports) in imports() {
        for (library, rooms) in KEPT_IN {
            if imports.iter().any(|import| import == library)
                && !rooms.contains(&room.as_str())
                && room != "tests"
            {
                wrong.push(format!("{room} imports {library}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "libraries out of their room:\n{}",
        wrong.join("\n")
    );
}
