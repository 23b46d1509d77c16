//! Bodies changed at random: by bytes, and by fields, so that what lies deep inside stays reachable.

use super::bytes::{field, key, number, varint};
use prost::encoding::decode_varint;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};

/// Messages within messages that are changed; what is deeper is changed by bytes.
const DEPTH_MAX: u32 = 24;

/// A body like this one, with a few things changed.
pub fn mutated(body: &[u8], other: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut body = body.to_vec();
    for _ in 0..random.random_range(1..4) {
        body = if random.random_bool(0.7) {
            by_field(&body, DEPTH_MAX, random)
        } else {
            by_byte(body, other, random)
        };
    }
    body
}

fn by_byte(mut body: Vec<u8>, other: &[u8], random: &mut StdRng) -> Vec<u8> {
    if body.is_empty() {
        return vec![random.random()];
    }
    let at = random.random_range(0..body.len());
    let to = (at + random.random_range(1..16)).min(body.len());
    match random.random_range(0..7) {
        0 => body[at] = random.random(),
        1 => body[at] ^= 1 << random.random_range(0..8),
        2 => body.truncate(at),
        3 => drop(body.drain(at..to)),
        4 => {
            let again = body[at..to].to_vec();
            body.splice(at..at, again);
        }
        5 => body[at] = [0x00, 0x7f, 0x80, 0xff][random.random_range(0..4)],
        _ if other.is_empty() => {}
        _ => {
            let from = random.random_range(0..other.len());
            let upto = (from + random.random_range(1..64)).min(other.len());
            body.splice(at..at, other[from..upto].iter().copied());
        }
    }
    body
}

/// A field as it stands in a message.
struct Field<'m> {
    whole: &'m [u8],
    key: u64,
    /// What has a length.
    inside: Option<&'m [u8]>,
}

/// The fields of a message. `None` when it is none, or has groups.
fn fields(message: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut rest = message;
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let begun = rest;
        let key = decode_varint(&mut rest).ok()?;
        let length = match key & 7 {
            0 => decode_varint(&mut rest).map(|_| 0).ok()?,
            1 => 8,
            2 => usize::try_from(decode_varint(&mut rest).ok()?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (inside, after) = rest.split_at_checked(length)?;
        rest = after;
        fields.push(Field {
            whole: &begun[..begun.len() - rest.len()],
            key,
            inside: (key & 7 == 2).then_some(inside),
        });
    }
    Some(fields)
}

fn by_field(message: &[u8], depth: u32, random: &mut StdRng) -> Vec<u8> {
    let Some(fields) = fields(message).filter(|fields| !fields.is_empty()) else {
        return [message, &strange(random)].concat();
    };
    let chosen = random.random_range(0..fields.len());
    let mut out = Vec::new();
    for (index, Field { whole, key, inside }) in fields.iter().enumerate() {
        if index != chosen {
            out.extend_from_slice(whole);
            continue;
        }
        match inside {
            Some(inside) if depth > 0 && random.random_bool(0.75) => {
                let inside = by_field(inside, depth - 1, random);
                out.extend(field(key >> 3, &inside));
            }
            Some(_) | None => out.extend(changed(whole, *key, *inside, random)),
        }
    }
    out
}

fn changed(whole: &[u8], key: u64, inside: Option<&[u8]>, random: &mut StdRng) -> Vec<u8> {
    let inside = inside.unwrap_or(b"7");
    let otherwise = random.random_range(0..18);
    match random.random_range(0..10) {
        // Twice, gone, before or after something strange.
        0 => [whole, whole].concat(),
        1 => Vec::new(),
        2 => [&strange(random), whole].concat(),
        3 => [whole, &strange(random)].concat(),
        // Under another number, or written another way.
        4 => field(otherwise, inside),
        5 => [varint(key & !7 | random.random_range(0..8)), whole[1..].to_vec()].concat(),
        6 => number(key >> 3, random.next_u64() >> random.random_range(0..64)),
        // A length that is written longer than need be, or lies.
        7 => {
            let mut length = varint(inside.len() as u64);
            let last = length.len() - 1;
            length[last] |= 0x80;
            [varint(key), length, vec![0], inside.to_vec()].concat()
        }
        8 => {
            let length = varint(inside.len() as u64 + random.random_range(0..3));
            [varint(key), length, inside.to_vec()].concat()
        }
        _ => field(key >> 3, &deep(random)),
    }
}

/// Fields as no encoder of OTLP writes them, most of them valid.
fn strange(random: &mut StdRng) -> Vec<u8> {
    let any = random.random_range(1..20);
    match random.random_range(0..16) {
        0 => number(any, random.next_u64()),
        1 => [key(any, 1), random.next_u64().to_le_bytes().to_vec()].concat(),
        2 => [key(any, 5), random.next_u32().to_le_bytes().to_vec()].concat(),
        3 => field(any, b"text"),
        4 => field(any, &[]),
        5 => field(any, &[0xff, 0xfe]),
        6 => field(random.random_range(100..1 << 29), b"unknown"),
        // Groups: empty, full, within another, ended by another, never ended, never begun.
        7 => [key(any, 3), key(any, 4)].concat(),
        8 => [key(any, 3), number(1, 5), field(2, b"x"), key(any, 4)].concat(),
        9 => [key(any, 3), key(1, 3), key(1, 4), key(any, 4)].concat(),
        10 => [key(any, 3), key(any + 1, 4)].concat(),
        11 => key(any, random.random_range(3..5)),
        // Keys and numbers at their limits.
        12 => number(0, 1),
        13 => [
            key(any, 0),
            vec![0xff; random.random_range(8..11)],
            vec![random.random_range(0..3)],
        ]
        .concat(),
        14 => [
            varint(u64::from(u32::MAX) & !7 | random.random_range(0..16)),
            vec![1],
        ]
        .concat(),
        _ => [varint(any << 3 | 1 << random.random_range(29..40)), vec![1]].concat(),
    }
}

/// A value: a list in a list, about as deep as it may be.
fn deep(random: &mut StdRng) -> Vec<u8> {
    let list = |inside: Vec<u8>, _| field(5, &field(1, &inside));
    (0..random.random_range(28..52)).fold(field(1, b"deep"), list)
}
