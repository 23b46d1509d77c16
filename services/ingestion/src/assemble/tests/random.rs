//! Anything at all.

use super::world::{S, World};
use crate::assemble::{Config, Emitted, Limits};
use std::collections::HashMap;

/// A small generator (xorshift), so that a printed seed replays a failure.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

fn any_span(chance: &mut Chance) -> S {
    let id = 1 + chance.below(40);
    let span = match chance.below(6) {
        0 | 1 => S::agent(id, if chance.below(2) == 0 { "a" } else { "b" }),
        2 => S::model(id).says(
            "gen_ai.response.id",
            if chance.below(2) == 0 { "r1" } else { "r2" },
        ),
        3 => S::tool(id, "search"),
        4 => S::new(id).scope("ai").named("step"),
        _ => S::new(id).named("app"),
    };
    let start = chance.below(100);
    let end = chance.below(120);
    let span = span.in_trace(1 + u128::from(chance.below(3))).at(start, end);
    let parent = 1 + chance.below(45);
    let span = match chance.below(5) {
        0 => span,
        1 => span.below_remote(parent),
        2 => span.below(parent).without_flags(),
        _ => span.below(parent),
    };
    let span = if chance.below(8) == 0 { span.server() } else { span };
    if chance.below(8) == 0 { span.fails() } else { span }
}

/// Scenario: random spans with random parents in random order, time passing at random, running reports between.
/// Guarantees: no panic; only what stands is taken back; revisions grow per execution; at the end nothing is held
/// and the counts of bytes and spans are back at zero.
#[test]
fn random_spans_keep_the_books() {
    for seed in 1..=300_u64 {
        println!("seed {seed}");
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let config = Config {
            nested_agents_own_vitals: seed % 3 == 0,
            trace_spans_max: 25,
            traces_max: 2,
            ..Config::default()
        };
        let mut world = World::with(config);
        for _ in 0..60 {
            let spans: Vec<S> = (0..=chance.below(3)).map(|_| any_span(&mut chance)).collect();
            let service = if chance.below(4) == 0 { "other" } else { "shop" };
            world.send_from(service, spans);
            if chance.below(3) == 0 {
                world.wait(chance.below(20));
            }
            let limits = Limits {
                latency_ms: Some(1_000.0),
                ..Limits::default()
            };
            world
                .assembler
                .report_running(world.now, |_| Some(limits), &mut world.out);
        }
        world.drain();
        let mut standing = HashMap::new();
        let mut highest: HashMap<String, u32> = HashMap::new();
        for emitted in world.given() {
            match emitted {
                Emitted::Vitals(vitals) => {
                    let id = vitals.execution.as_str().to_owned();
                    assert!(
                        vitals.latency_ms >= 0.0 && vitals.started_at <= vitals.timestamp,
                        "{vitals:?}"
                    );
                    // A trace that was finished early and forgotten may begin again, with revision 0.
                    let before = highest
                        .insert(id.clone(), vitals.revision)
                        .filter(|_| vitals.revision > 0);
                    let holder = standing.get(&id).filter(|_| vitals.revision > 0);
                    assert!(before.is_none_or(|before| vitals.revision > before), "{id}");
                    assert!(holder.is_none_or(|key| *key == vitals.key), "{id} changed hands");
                    standing.insert(id, vitals.key);
                }
                Emitted::Retracted { key, execution } => {
                    assert_eq!(standing.remove(execution.as_str()), Some(key), "{execution}");
                }
            }
        }
        let totals = world.assembler.totals();
        assert_eq!((totals.traces, totals.spans, totals.bytes), (0, 0, 0));
        assert_eq!(world.assembler.next_due(), None);
    }
}
