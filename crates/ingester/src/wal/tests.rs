//! The log as a whole: what was acknowledged is read back, whatever happens to the last file.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::directory::{DiskDirectory, WalDirectory};
use super::faulty::MemoryDirectory;
use super::files::{Outgoing, SyncOnAppend, WalFiles};
use super::record::{FILE_HEADER_BYTES, KIND_APPEND};
use super::replay::{Replay, Replayed};
use super::*;

type Records = Vec<(Position, Bytes)>;

fn outgoing(payload: &[u8]) -> Outgoing {
    Outgoing::new(KIND_APPEND, Bytes::copy_from_slice(payload))
}

/// Opens a log and answers its records, what else was met, and the log.
fn open(directory: &MemoryDirectory, file_bytes: u64) -> (Records, Vec<Replayed>, WalFiles) {
    let mut replay = Replay::open(Arc::new(directory.clone()), 7).unwrap();
    assert_eq!(replay.incarnation(), 7);
    let (mut records, mut others) = (Vec::new(), Vec::new());
    while let Some(replayed) = replay.next().unwrap() {
        match replayed {
            Replayed::Record { position, kind: KIND_APPEND, payload } => {
                records.push((position, payload));
            }
            other => others.push(other),
        }
    }
    (records, others, replay.into_files(file_bytes))
}

/// Appends a group and remembers it when it was acknowledged.
fn append(files: &mut WalFiles, payloads: &[Vec<u8>], acknowledged: &mut Records) -> bool {
    let records: Vec<Outgoing> = payloads.iter().map(|payload| outgoing(payload)).collect();
    match files.append(&records, SyncOnAppend::Yes) {
        Ok(positions) => {
            let payloads = records.into_iter().map(|record| record.payload);
            acknowledged.extend(positions.into_iter().zip(payloads));
            true
        }
        Err(_) => false,
    }
}

/// Whether all of `expected` is part of `found`, in the same order.
fn holds(found: &Records, expected: &Records) -> bool {
    let mut found = found.iter();
    expected.iter().all(|one| found.any(|other| other == one))
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        // Bytes that look like the beginning of a record.
        prop::collection::vec(prop::sample::select(vec![0xd1, b'W', b'R', 0x0a, 0]), 0..200),
        (1000usize..5000).prop_map(|length| vec![b'x'; length]),
    ]
}

/// What happens to a log.
#[derive(Debug, Clone)]
enum Step {
    Append(Vec<Vec<u8>>),
    FullDisk(usize, Vec<Vec<u8>>),
    FailedSync(Vec<Vec<u8>>),
    FailedTruncate(usize, Vec<Vec<u8>>),
    LosePower(usize),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let group = || prop::collection::vec(payload(), 1..5);
    prop_oneof![
        6 => group().prop_map(Step::Append),
        1 => (0usize..3000, group()).prop_map(|(space, group)| Step::FullDisk(space, group)),
        1 => group().prop_map(Step::FailedSync),
        1 => (0usize..300, group()).prop_map(|(space, g)| Step::FailedTruncate(space, g)),
        1 => (0usize..6000).prop_map(Step::LosePower),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #[test]
    fn what_was_acknowledged_survives_failures_and_power_cuts(
        steps in prop::collection::vec(step(), 1..20),
        file_bytes in 4096u64..20_000,
    ) {
        let directory = MemoryDirectory::new();
        let (_, _, mut files) = open(&directory, file_bytes);
        let mut acknowledged = Records::new();
        for step in steps {
            match step {
                Step::Append(group) => prop_assert!(append(&mut files, &group, &mut acknowledged)),
                Step::FullDisk(space, group) => {
                    directory.set_space(space);
                    append(&mut files, &group, &mut acknowledged);
                    directory.set_space(usize::MAX);
                }
                Step::FailedSync(group) => {
                    directory.fail_syncs(1);
                    append(&mut files, &group, &mut acknowledged);
                    directory.fail_syncs(0);
                }
                Step::FailedTruncate(space, group) => {
                    directory.set_space(space);
                    directory.fail_truncates(1);
                    append(&mut files, &group, &mut acknowledged);
                    directory.fail_truncates(0);
                    directory.set_space(usize::MAX);
                }
                Step::LosePower(kept) => {
                    drop(files);
                    directory.lose_power(kept);
                    let (records, _, reopened) = open(&directory, file_bytes);
                    prop_assert!(holds(&records, &acknowledged));
                    files = reopened;
                }
                Step::Reopen => {
                    let (records, _, reopened) = open(&directory, file_bytes);
                    prop_assert!(holds(&records, &acknowledged));
                    files = reopened;
                }
            }
        }
        let (records, _, _) = open(&directory, file_bytes);
        prop_assert!(holds(&records, &acknowledged));
        prop_assert!(records.is_sorted_by_key(|(position, _)| *position));
    }

    #[test]
    fn a_cut_end_loses_only_what_it_cuts(
        groups in prop::collection::vec(prop::collection::vec(payload(), 1..4), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let (directory, acknowledged, name) = written(&groups);
        let length = cut.index(directory.length(&name) + 1);
        directory.damage(&name, |bytes| bytes.truncate(length));
        let (records, others, mut files) = open(&directory, 1 << 20);
        let expected: Records = ending_by(&acknowledged, length).cloned().collect();
        prop_assert_eq!(&records, &expected);
        let good = expected.last().map_or(FILE_HEADER_BYTES, end_of);
        if length > good {
            let (offset, bytes) = (good as u64, (length - good) as u64);
            prop_assert_eq!(others, [Replayed::TornTail { file: 1, offset, bytes }]);
            prop_assert_eq!(directory.length(&name), good);
        } else {
            prop_assert_eq!(others, []);
        }
        // The log goes on, and a second look finds nothing torn.
        let mut all = expected;
        prop_assert!(append(&mut files, &[b"more".to_vec()], &mut all));
        let (records, others, _) = open(&directory, 1 << 20);
        prop_assert_eq!(records, all);
        prop_assert_eq!(others, []);
    }

    #[test]
    fn a_flipped_byte_loses_one_record(
        groups in prop::collection::vec(prop::collection::vec(payload(), 1..4), 1..8),
        at in any::<prop::sample::Index>(),
        change in 1u8..,
    ) {
        let (directory, acknowledged, name) = written(&groups);
        let at = at.index(directory.length(&name));
        directory.damage(&name, |bytes| bytes[at] ^= change);
        let mut replay = Replay::open(Arc::new(directory.clone()), 7).unwrap();
        let (mut records, mut lost) = (Records::new(), 0);
        while let Some(replayed) = replay.next().unwrap() {
            match replayed {
                Replayed::Record { position, payload, .. } => records.push((position, payload)),
                Replayed::Damage { bytes, .. } | Replayed::TornTail { bytes, .. } => lost += bytes,
            }
        }
        let is_whole = |record: &&(Position, Bytes)| {
            at < record.0.offset() as usize || end_of(record) <= at
        };
        let expected: Records = acknowledged.iter().filter(is_whole).cloned().collect();
        prop_assert_eq!(&records, &expected);
        let hit = acknowledged.iter().find(|record| !is_whole(record));
        let expected_lost = match hit {
            Some(record) => end_of(record) - record.0.offset() as usize,
            None => FILE_HEADER_BYTES,
        };
        prop_assert_eq!(lost, expected_lost as u64);
    }

    #[test]
    fn any_bytes_replay_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let directory = MemoryDirectory::new();
        directory.create("00000001.wal").unwrap();
        directory.damage("00000001.wal", |file| *file = bytes);
        let mut replay = Replay::open(Arc::new(directory), 7).unwrap();
        while replay.next().unwrap().is_some() {}
    }
}

/// A log of one file with these groups, what was acknowledged, and the file's name.
fn written(groups: &[Vec<Vec<u8>>]) -> (MemoryDirectory, Records, String) {
    let directory = MemoryDirectory::new();
    let (_, _, mut files) = open(&directory, 1 << 20);
    let mut acknowledged = Records::new();
    for group in groups {
        assert!(append(&mut files, group, &mut acknowledged));
    }
    (directory, acknowledged, file_name(1))
}

fn end_of((position, payload): &(Position, Bytes)) -> usize {
    position.offset() as usize + record::RECORD_HEADER_BYTES + payload.len()
}

fn ending_by(records: &Records, length: usize) -> impl Iterator<Item = &(Position, Bytes)> {
    records.iter().take_while(move |record| end_of(record) <= length)
}

#[test]
fn a_full_disk_refuses_and_then_goes_on_in_the_same_file() {
    let directory = MemoryDirectory::new();
    let (_, _, mut files) = open(&directory, 1 << 20);
    files.append(&[outgoing(b"one")], SyncOnAppend::Yes).unwrap();
    let length = directory.length("00000001.wal");
    directory.set_space(10);
    let error = files.append(&[outgoing(&[7; 100])], SyncOnAppend::Yes).unwrap_err();
    assert!(error.is_disk_full);
    assert_eq!(error.to_string(), "wal: write 00000001.wal: no storage space");
    assert_eq!(directory.length("00000001.wal"), length);
    directory.set_space(1 << 20);
    let positions = files.append(&[outgoing(b"two")], SyncOnAppend::Yes).unwrap();
    assert_eq!(positions, [Position::new(1, length as u32)]);
}

#[test]
fn after_a_failed_sync_a_new_file_is_begun() {
    let directory = MemoryDirectory::new();
    let (_, _, mut files) = open(&directory, 1 << 20);
    files.append(&[outgoing(b"one")], SyncOnAppend::Yes).unwrap();
    directory.fail_syncs(1);
    assert_eq!(files.append(&[outgoing(b"two")], SyncOnAppend::Yes).unwrap_err().doing, "sync");
    let positions = files.append(&[outgoing(b"three")], SyncOnAppend::Yes).unwrap();
    assert_eq!(positions, [Position::new(2, FILE_HEADER_BYTES as u32)]);
    let (records, _, _) = open(&directory, 1 << 20);
    let payloads: Vec<&[u8]> = records.iter().map(|(_, payload)| &payload[..]).collect();
    assert_eq!(payloads, [&b"one"[..], b"three"]);
}

#[test]
fn files_go_once_nothing_in_them_is_needed_and_numbers_go_on() {
    let directory = MemoryDirectory::new();
    let (_, _, mut files) = open(&directory, 4096);
    let mut positions = Vec::new();
    for _ in 0..5 {
        positions.extend(files.append(&[outgoing(&[1; 5000])], SyncOnAppend::Yes).unwrap());
    }
    assert_eq!(positions.iter().map(|p| p.file()).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    files.remove_before(Some(positions[2])).unwrap();
    assert_eq!(directory.names(), ["00000003.wal", "00000004.wal", "00000005.wal"]);
    files.remove_before(None).unwrap();
    assert_eq!(directory.names(), ["00000005.wal"]);
    let (records, _, mut files) = open(&directory, 4096);
    assert_eq!(records.len(), 1);
    files.remove_before(None).unwrap();
    assert_eq!(directory.names(), ["00000005.wal"]);
    let next = files.append(&[outgoing(b"x")], SyncOnAppend::Yes).unwrap();
    assert_eq!(next[0].file(), 6);
    files.remove_before(None).unwrap();
    assert_eq!((directory.names(), files.count()), (vec![file_name(6)], 1));
}

#[test]
fn damage_in_an_old_file_is_told_and_stepped_over() {
    let directory = MemoryDirectory::new();
    let (_, _, mut files) = open(&directory, 4096);
    let mut acknowledged = Records::new();
    for index in 0..6u8 {
        assert!(append(&mut files, &[vec![index; 3000]], &mut acknowledged));
    }
    // Two records a file: cut the second one of the first file short.
    directory.damage("00000001.wal", |bytes| bytes.truncate(4000));
    let (records, others, _) = open(&directory, 4096);
    assert_eq!(records.len(), 5);
    let offset = end_of(&acknowledged[0]) as u64;
    assert_eq!(others, [Replayed::Damage { file: 1, offset, bytes: 4000 - offset }]);
}

#[test]
fn files_of_a_newer_program_are_refused() {
    let directory = MemoryDirectory::new();
    let (_, _, mut files) = open(&directory, 4096);
    files.append(&[outgoing(b"x")], SyncOnAppend::Yes).unwrap();
    directory.damage("00000001.wal", |bytes| {
        bytes[8] = 9;
        let crc = crc32c::crc32c(&bytes[..28]);
        bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    });
    let error = Replay::open(Arc::new(directory), 7).map(|_| ()).unwrap_err();
    assert!(error.reason.contains("newer program"), "{error}");
}

#[test]
fn a_real_directory_behaves_like_the_one_in_memory() {
    let path = tempfile::tempdir().unwrap();
    let open = || DiskDirectory::open(&path.path().join("a/wal"));
    let reopen = || -> Arc<dyn WalDirectory> { Arc::new(open().unwrap()) };
    let mut files = Replay::open(reopen(), 7).unwrap().into_files(4096);
    // More parts than one system call takes.
    let records: Vec<Outgoing> = (0..3000u32).map(|index| outgoing(&index.to_le_bytes())).collect();
    let positions = files.append(&records, SyncOnAppend::Yes).unwrap();
    files.append(&[outgoing(&[9; 10_000])], SyncOnAppend::No).unwrap();
    files.sync().unwrap();
    let busy = open().unwrap_err();
    assert_eq!(busy.kind(), std::io::ErrorKind::ResourceBusy, "{busy}");
    drop(files);
    let mut replay = Replay::open(reopen(), 8).unwrap();
    assert_eq!(replay.incarnation(), 7);
    for (expected, record) in positions.iter().zip(&records) {
        let found = replay.next().unwrap().unwrap();
        let payload = record.payload.clone();
        assert_eq!(found, Replayed::Record { position: *expected, kind: KIND_APPEND, payload });
    }
    assert!(
        matches!(replay.next().unwrap(), Some(Replayed::Record { payload, .. }) if payload.len() == 10_000)
    );
    assert_eq!(replay.next().unwrap(), None);
    let mut files = replay.into_files(4096);
    files.append(&[outgoing(b"x")], SyncOnAppend::Yes).unwrap();
    files.remove_before(None).unwrap();
    drop(files);
    assert_eq!(reopen().list().unwrap(), ["00000003.wal"]);
}
