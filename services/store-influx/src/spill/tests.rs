//! Crashes, torn ends and a full folder.

use super::*;
use immune_store::conformance::samples::{agent, at, vitals};
use std::io::Write as _;

fn op(n: i64) -> Op {
    Op::Append(vitals(&agent("a"), &format!("e{n}"), at(n)))
}

fn all(spill: &mut Spill) -> Vec<Op> {
    let mut ops = Vec::new();
    while let Some(page) = spill.read(3).unwrap() {
        ops.extend(page.ops);
        spill.release(page.next).unwrap();
    }
    ops
}

fn files(folder: &Path) -> usize {
    segment::list(folder).unwrap().len()
}

/// Scenario: batches of many sizes go in, are read in part, and the process ends before it says so.
/// Guarantees: order is kept, everything unreleased comes again after the restart, and an empty spill has no files.
#[test]
fn what_went_in_comes_out_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut spill = Spill::open(folder.path(), 1 << 20).unwrap();
    let ops: Vec<Op> = (0..20).map(op).collect();
    assert_eq!(spill.append(&[&ops[..1], &ops[1..7]]).unwrap(), 2);
    assert_eq!(spill.append(&[&ops[7..]]).unwrap(), 1);
    let page = spill.read(1).unwrap().unwrap();
    assert_eq!(page.ops, ops[..1]);
    spill.release(page.next).unwrap();
    assert_eq!(spill.read(1).unwrap().unwrap().ops, ops[1..7]);
    assert!(
        Spill::open(folder.path(), 1 << 20).is_err(),
        "one process at a time"
    );
    drop(spill);
    let mut spill = Spill::open(folder.path(), 1 << 20).unwrap();
    assert_eq!(spill.append(&[&[op(20)]]).unwrap(), 1);
    let read = all(&mut spill);
    assert_eq!(read[..20], ops);
    assert_eq!(read[20], op(20));
    assert!(spill.is_empty() && spill.bytes() == 0);
    assert_eq!(files(folder.path()), 0);
    assert_eq!(spill.append(&[&[op(21)]]).unwrap(), 1);
    assert_eq!(all(&mut spill), [op(21)]);
}

/// Scenario: the process dies while it writes, at every byte of the last frame.
/// Guarantees: everything before the torn frame comes back, and writing goes on behind it.
#[test]
fn a_torn_end_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut spill = Spill::open(folder.path(), 1 << 20).unwrap();
    spill.append(&[&[op(1)], &[op(2)]]).unwrap();
    let file = folder.path().join(format!("{:020}.spill", 0));
    drop(spill);
    let whole = fs::read(&file).unwrap();
    let last = frame::pack(&[op(2)]).unwrap().len();
    for cut in 1..last {
        fs::write(&file, &whole[..whole.len() - cut]).unwrap();
        let mut spill = Spill::open(folder.path(), 1 << 20).unwrap();
        spill.append(&[&[op(3)]]).unwrap();
        assert_eq!(all(&mut spill), [op(1), op(3)], "cut {cut}");
        drop(spill);
    }
    let mut flipped = whole.clone();
    let n = flipped.len() - 3;
    flipped[n] ^= 1;
    fs::write(&file, flipped).unwrap();
    let spill = Spill::open(folder.path(), 1 << 20).unwrap();
    let page = spill.read(10).unwrap().unwrap();
    assert_eq!((page.ops, page.damaged), (vec![op(1)], last as u64));
}

/// Scenario: a folder whose limit is reached, then emptied.
/// Guarantees: what has no room is refused whole and aloud, what had room stays, and there is room again afterwards.
#[test]
fn a_full_folder_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let mut spill = Spill::open(folder.path(), 2_000).unwrap();
    let mut stored = 0;
    let refused = loop {
        match spill.append(&[&[op(stored)]]) {
            Ok(taken) => stored += taken as i64,
            Err(e) => break e,
        }
        assert!(stored < 100);
    };
    assert!(
        matches!(refused, SpillError::Full { max: 2_000, .. }),
        "{refused}"
    );
    assert!(stored > 0 && spill.bytes() <= 2_000);
    assert_eq!(all(&mut spill), (0..stored).map(op).collect::<Vec<_>>());
    assert_eq!(spill.append(&[&[op(1)]]).unwrap(), 1);
}

/// Scenario: a file that is not ours, and a segment with nothing but its name.
/// Guarantees: neither stops the spill.
#[test]
fn strangers_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes.txt"), "x").unwrap();
    let mut empty = File::create(folder.path().join(format!("{:020}.spill", 7))).unwrap();
    empty.write_all(b"IMMSPL01").unwrap();
    let mut spill = Spill::open(folder.path(), 1 << 20).unwrap();
    spill.append(&[&[op(1)]]).unwrap();
    assert_eq!(all(&mut spill), [op(1)]);
    assert!(folder.path().join("notes.txt").exists());
}
