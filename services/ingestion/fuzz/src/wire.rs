//! Every body is read both ways; a difference ends the search. Half of the changes are libFuzzer's own, the others
//! know what a field is, so that lengths around a change stay right. Seeds are given as folders on the command line.

#![no_main]

#[path = "../../tests/wire/agreement.rs"]
mod agreement;
#[path = "../../tests/wire/arbitrary.rs"]
mod arbitrary;
#[allow(dead_code, reason = "the tests write more by hand")]
#[path = "../../tests/wire/bytes.rs"]
mod bytes;
#[path = "../../tests/wire/mutation.rs"]
mod mutation;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use prost::Message;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

fuzz_target!(|body: &[u8]| {
    if let Err(difference) = agreement::agree(body) {
        panic!("not read alike: {difference}");
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = StdRng::seed_from_u64(seed.into());
    let body = match random.random_range(0..100) {
        0..50 => return fuzzer_mutate(data, size, max_size),
        50 => arbitrary::request(&mut random).encode_to_vec(),
        _ => mutation::mutated(&data[..size], &data[..size], &mut random),
    };
    let size = body.len().min(max_size);
    data[..size].copy_from_slice(&body[..size]);
    size
});
