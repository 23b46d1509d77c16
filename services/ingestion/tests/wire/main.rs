//! The reader over the bytes of a request against prost: what the one takes the other takes, and they say the same.

mod agreement;
mod arbitrary;
mod bytes;
mod mutation;
mod seeds;

use ::bytes::Bytes;
use agreement::{Outcome, agree};
use bytes::{attribute, field, key, number, span, value, varint, within};
use immune_domain::{RunId, Timestamp};
use immune_ingestion::assemble::{Assembler, Config, Emitted, Runs};
use immune_ingestion::dialect::Dialect;
use immune_ingestion::view::{RequestView, wire};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

/// Captures above this are left to the test that reads them all once.
const SEED_BYTES_MAX: usize = 32 * 1024;

fn random() -> StdRng {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| rand::rng().next_u64());
    println!("SEED={seed}");
    StdRng::seed_from_u64(seed)
}

#[track_caller]
fn each(expected: Outcome, bodies: &[(&str, Vec<u8>)]) {
    for (what, body) in bodies {
        assert_eq!(agree(body), Ok(expected), "{what}: {body:02x?}");
    }
}

/// Values in values: an array in an array, so many times.
fn nested(times: usize) -> Vec<u8> {
    let deep = (0..times).fold(field(1, b"deep"), |inside, _| field(5, &field(1, &inside)));
    value(deep)
}

/// Scenario: each way in which bytes can fail to be a request.
/// Guarantees: neither reader takes them.
#[test]
fn malformed_requests_are_refused() {
    let invalid = [0xc3, 0x28];
    let long = |bytes: usize, last: u8| [vec![0x80 | 8], vec![0x80; bytes - 2], vec![last]].concat();
    each(
        Outcome::Refused,
        &[
            ("a key alone", vec![0x0a]),
            ("a length that never ends", vec![0x0a, 0x80]),
            ("a length beyond the end", vec![0x0a, 5, 1]),
            ("a length beyond memory", [vec![0x0a], varint(u64::MAX)].concat()),
            (
                "an inner length beyond the outer end",
                [field(1, &[0x12, 3]), vec![1, 1, 1]].concat(),
            ),
            ("number 0", number(0, 1)),
            ("number 0 inside", span(number(0, 1))),
            ("a number above 2^29 - 1", [varint(1 << 32), vec![1]].concat()),
            ("wire type 6", vec![0x0e, 1]),
            ("wire type 7", vec![0x0f, 1]),
            ("an integer of eleven bytes", [key(99, 0), long(11, 1)].concat()),
            ("an integer of 65 bits", [key(99, 0), long(10, 2)].concat()),
            ("four bytes, two there", [key(99, 5), vec![1, 1]].concat()),
            ("eight bytes, seven there", span([key(7, 1), vec![1; 7]].concat())),
            ("a group that never ends", key(99, 3)),
            ("a group that never began", key(99, 4)),
            ("a group ended by another", [key(99, 3), key(98, 4)].concat()),
            ("a number for the resources", number(1, 1)),
            ("a number for the scopes", within(&[1], number(2, 1))),
            ("a number for the resource", within(&[1], number(1, 1))),
            (
                "text for the dropped attributes of a resource",
                within(&[1, 1], field(2, b"1")),
            ),
            ("a number for an entity", within(&[1, 1], number(3, 1))),
            (
                "an entity's type that is no UTF-8",
                within(&[3, 1, 1], field(2, &invalid)),
            ),
            (
                "an entity's key that is no UTF-8",
                within(&[3, 1, 1], field(3, &invalid)),
            ),
            ("a number for the spans", within(&[2, 1], number(2, 1))),
            ("a number for the scope", within(&[2, 1], number(1, 1))),
            (
                "a scope's name that is no UTF-8",
                within(&[1, 2, 1], field(1, &invalid)),
            ),
            (
                "a scope's version that is no UTF-8",
                within(&[1, 2, 1], field(2, &invalid)),
            ),
            (
                "a schema's address that is no UTF-8",
                within(&[1], field(3, &invalid)),
            ),
            (
                "a scope's schema's address that is no UTF-8",
                within(&[2, 1], field(3, &invalid)),
            ),
            ("a number for the trace id", span(number(1, 1))),
            ("a trace's state that is no UTF-8", span(field(3, &invalid))),
            ("a name that is no UTF-8", span(field(5, &invalid))),
            ("text for the kind", span(field(6, b"1"))),
            ("a varint for the start", span(number(7, 1))),
            ("a varint for the flags", span(number(16, 1))),
            ("a number for an attribute", span(number(9, 1))),
            ("text for the dropped attributes", span(field(10, b"1"))),
            (
                "an event's name that is no UTF-8",
                within(&[11, 2, 2, 1], field(2, &invalid)),
            ),
            (
                "a varint for the time of an event",
                within(&[11, 2, 2, 1], number(1, 1)),
            ),
            (
                "a link's state that is no UTF-8",
                within(&[13, 2, 2, 1], field(3, &invalid)),
            ),
            (
                "a varint for a link's flags",
                within(&[13, 2, 2, 1], number(6, 1)),
            ),
            (
                "a status' message that is no UTF-8",
                within(&[15, 2, 2, 1], field(2, &invalid)),
            ),
            (
                "text for the status' code",
                within(&[15, 2, 2, 1], field(3, b"1")),
            ),
            ("a key that is no UTF-8", attribute(field(1, &invalid))),
            ("a number for the key", attribute(number(1, 1))),
            ("text for the key's index", attribute(field(3, b"1"))),
            ("a text that is no UTF-8", value(field(1, &invalid))),
            (
                "a text that ends within a character",
                value(field(1, &"é".as_bytes()[..1])),
            ),
            ("text for a truth", value(field(2, b"1"))),
            ("a varint for a floating number", value(number(4, 1))),
            ("a number for bytes", value(number(7, 1))),
            ("a number for a list", value(number(5, 1))),
            ("a number for what is in a list", value(field(5, &number(1, 1)))),
            (
                "text in a list that is no UTF-8",
                value(field(5, &field(1, &field(1, &invalid)))),
            ),
            (
                "a key in a map that is no UTF-8",
                value(field(6, &field(1, &field(1, &invalid)))),
            ),
            ("values within values beyond prost's limit", nested(48)),
            ("values within values without end", nested(2_000)),
        ],
    );
}

/// Scenario: valid requests in forms that encoders seldom or never use.
/// Guarantees: what the walk can tell it tells as prost does; the rest is left to prost. Neither is refused.
#[test]
fn unusual_requests_are_taken() {
    let id = |byte: u8| field(1, &[byte; 16]);
    let text = |text: &[u8]| field(1, text);
    each(
        Outcome::Read,
        &[
            ("nothing", Vec::new()),
            ("an empty span", span(Vec::new())),
            ("bytes that are no UTF-8", value(field(7, &[0xff]))),
            ("an id that is no UTF-8", span(field(4, &[0xff; 8]))),
            ("an id that came twice", span([id(1), id(2)].concat())),
            (
                "a name that came twice",
                span([field(5, b"one"), field(5, b"two")].concat()),
            ),
            (
                "a name that came again empty",
                span([field(5, b"one"), field(5, b"")].concat()),
            ),
            (
                "a kind that came twice",
                span([number(6, 1), number(6, 3)].concat()),
            ),
            (
                "a key that came twice",
                attribute([text(b"one"), text(b"two")].concat()),
            ),
            (
                "a scope's name that came twice",
                within(&[1, 2, 1], [text(b"a"), text(b"b")].concat()),
            ),
            ("a kind beyond 32 bits", span(number(6, 1 << 32 | 2))),
            ("a negative kind", span(number(6, u64::MAX))),
            ("dropped attributes beyond 32 bits", span(number(10, 1 << 32))),
            (
                "a status beyond 32 bits",
                within(&[15, 2, 2, 1], number(3, 7 << 40 | 2)),
            ),
            ("a truth beyond one", value(number(2, 1 << 40))),
            ("a negative integer", value(number(3, u64::MAX))),
            (
                "not a number",
                value([key(4, 1), f64::NAN.to_le_bytes().to_vec()].concat()),
            ),
            ("an index of a text", value(number(8, 3))),
            ("a value without one", value(Vec::new())),
            ("an attribute without a value", attribute(text(b"key"))),
            (
                "a value before its key",
                attribute([field(2, &text(b"v")), text(b"k")].concat()),
            ),
            (
                "a length written longer than need be",
                [vec![0x0a, 0x80, 0x00]].concat(),
            ),
            (
                "a key written longer than need be",
                vec![0x8a, 0x80, 0x80, 0x00, 0x00],
            ),
            (
                "ten bytes of integer",
                [key(99, 0), vec![0xff; 9], vec![1]].concat(),
            ),
            (
                "unknown fields",
                span(
                    [
                        number(99, 1),
                        field(1000, b"?"),
                        [key(98, 1), vec![0; 8]].concat(),
                    ]
                    .concat(),
                ),
            ),
            (
                "the largest number of a field",
                [key((1 << 29) - 1, 0), vec![1]].concat(),
            ),
            (
                "unknown fields of a value",
                value([field(99, b"?"), text(b"v"), number(98, 1)].concat()),
            ),
            (
                "a resource after its scopes",
                field(1, &[within(&[2, 2], id(1)), within(&[1, 1], text(b"k"))].concat()),
            ),
            (
                "attributes among other fields",
                span(
                    [
                        within(&[9], text(b"a")),
                        field(5, b"name"),
                        within(&[9], text(b"b")),
                        within(&[3, 11], text(b"c")),
                        id(9),
                        within(&[3, 11], text(b"d")),
                        within(&[9], text(b"e")),
                    ]
                    .concat(),
                ),
            ),
            (
                "a list of all kinds",
                value(field(
                    5,
                    &[
                        field(1, &text(b"a")),
                        field(1, b""),
                        field(1, &number(3, 4)),
                        field(1, &text("ü".as_bytes())),
                    ]
                    .concat(),
                )),
            ),
            ("values within values", nested(20)),
        ],
    );
    each(
        Outcome::Left,
        &[
            ("a group", [key(99, 3), key(99, 4)].concat()),
            (
                "a group in a group in a span",
                span([key(99, 3), key(1, 3), number(5, 1), key(1, 4), key(99, 4)].concat()),
            ),
            (
                "a resource in two pieces",
                field(
                    1,
                    &[within(&[1, 1], text(b"a")), within(&[1, 1], text(b"b"))].concat(),
                ),
            ),
            (
                "a scope in two pieces",
                within(
                    &[2, 1],
                    [field(1, &text(b"a")), field(1, &field(2, b"1"))].concat(),
                ),
            ),
            (
                "a status in two pieces",
                span([field(15, &number(3, 2)), field(15, &field(2, b"m"))].concat()),
            ),
            (
                "a value in two pieces",
                attribute([field(2, &text(b"a")), field(2, &number(3, 4))].concat()),
            ),
            ("two values in one", value([text(b"a"), number(3, 4)].concat())),
            (
                "a list in two pieces",
                value([field(5, &field(1, &text(b"a"))), field(5, &field(1, &text(b"b")))].concat()),
            ),
            ("values within values, many", nested(40)),
        ],
    );
}

/// Scenario: a thousand requests of any content, as prost writes them.
/// Guarantees: none is left to prost, and the views are the same.
#[test]
fn any_request_is_read() {
    let mut random = random();
    for _ in 0..1_000 {
        let body = arbitrary::request(&mut random).encode_to_vec();
        assert_eq!(agree(&body), Ok(Outcome::Read), "{body:02x?}");
    }
}

/// Scenario: requests of frameworks and made-up ones, changed at random by bytes and by fields.
/// Guarantees: both readers agree each time; all three outcomes come up, so that each was tried.
#[test]
fn mutated_requests_are_read_alike() {
    let mut random = random();
    let mut bodies = seeds::captured(SEED_BYTES_MAX);
    bodies.extend((0..200).map(|_| arbitrary::request(&mut random).encode_to_vec()));
    let mut outcomes = std::collections::HashMap::new();
    for _ in 0..20_000 {
        let body = &bodies[random.random_range(0..bodies.len())];
        let other = &bodies[random.random_range(0..bodies.len())];
        let body = mutation::mutated(body, other, &mut random);
        match agree(&body) {
            Ok(outcome) => *outcomes.entry(format!("{outcome:?}")).or_insert(0) += 1,
            Err(difference) => panic!("{difference}: {body:02x?}"),
        }
    }
    println!("{outcomes:?}");
    assert!(
        outcomes.len() == 3 && outcomes.values().all(|times| *times > 500),
        "{outcomes:?}"
    );
}

fn emitted<'r>(request: impl RequestView<'r>) -> Vec<Emitted> {
    let run = RunId::default();
    let runs = Runs {
        stated: None,
        otherwise: &run,
    };
    let now = Timestamp::from_epoch_seconds(1_900_000_000.0).expect("a time");
    let mut assembler = Assembler::new(Config::default(), Dialect::builtin());
    let mut out = Vec::new();
    assembler.accept(runs, request, now, &mut out);
    assembler.drain(now, &mut out);
    out
}

/// Scenario: every request that a framework sent.
/// Guarantees: none is left to prost; views and vitals are the same.
#[test]
fn captured_requests_give_the_same_vitals() {
    let mut vitals = 0;
    for body in seeds::captured(usize::MAX) {
        assert_eq!(agree(&body), Ok(Outcome::Read));
        let decoded = ExportTraceServiceRequest::decode(&body[..]).expect("a request");
        let checked = wire::check(Bytes::from(body), usize::MAX).expect("a request");
        let by_wire = emitted(checked.view());
        assert_eq!(by_wire, emitted(&decoded));
        vitals += by_wire.len();
    }
    println!("{vitals} vitals");
}

/// Scenario: a request of many small spans, with a limit on what it may weigh.
/// Guarantees: above the limit it is not read; within it the weight is told.
#[test]
fn heavy_requests_are_not_read() {
    let hollow = Bytes::from(within(&[2, 1], [0x12, 0].repeat(1_000)));
    let weight = wire::check(hollow.clone(), usize::MAX)
        .expect("a request")
        .weight();
    assert!(weight > 100_000, "{weight}");
    assert!(wire::check(hollow.clone(), weight).is_ok());
    assert_eq!(wire::check(hollow, weight - 1).err(), Some(wire::Unusual));
}
