//! Fields, written by hand.

/// An integer of variable length.
pub fn varint(value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(value, &mut bytes);
    bytes
}

/// The key of a field.
pub fn key(number: u64, wire: u64) -> Vec<u8> {
    varint(number << 3 | wire)
}

/// A field with a length.
pub fn field(number: u64, inside: &[u8]) -> Vec<u8> {
    [key(number, 2), varint(inside.len() as u64), inside.to_vec()].concat()
}

/// A field with an integer.
pub fn number(field: u64, value: u64) -> Vec<u8> {
    [key(field, 0), varint(value)].concat()
}

/// A message within messages of the given fields, from the inside out.
pub fn within(fields: &[u64], inside: Vec<u8>) -> Vec<u8> {
    fields
        .iter()
        .fold(inside, |inside, number| field(*number, &inside))
}

/// A request with one span of these fields.
pub fn span(fields: Vec<u8>) -> Vec<u8> {
    within(&[2, 2, 1], fields)
}

/// A request with one span with an attribute of these fields.
pub fn attribute(fields: Vec<u8>) -> Vec<u8> {
    within(&[9, 2, 2, 1], fields)
}

/// A request with one span with an attribute whose value has these fields.
pub fn value(fields: Vec<u8>) -> Vec<u8> {
    attribute([field(1, b"key"), field(2, &fields)].concat())
}
