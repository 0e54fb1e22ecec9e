//! Promise 1: an acknowledged entry survives any crash, damage at the end of the log, and a full
//! disk; and it is never doubled.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use system::chance::Chance;
use system::ledger::{Difference, Ledger, write_until};
use system::process::{Sigyn, Start};
use system::wait;
use tokio::sync::Mutex;

/// How often the process is killed.
const CRASHES: u32 = 100;

/// Small heads, so that flushes are always under way.
fn busy() -> Start {
    let config = "ingester: {flush_size: 1MB, flush_check_period: 50ms}\n".to_owned();
    Start { config, wrapper: Vec::new() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_instant_loses_and_doubles_nothing() {
    let chance = Chance::from_environment("crashes");
    let folder = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    for crash in 0..CRASHES {
        let sigyn = Sigyn::spawn(folder.path(), &busy());
        // Every fourth crash hits the start itself, while the log is replayed.
        if crash % 4 == 3 {
            chance.pause(120).await;
            sigyn.kill();
            continue;
        }
        sigyn.await_ready().await;
        let stop = Arc::new(AtomicBool::new(false));
        let writing =
            tokio::spawn(write_until(4, sigyn.client(), Arc::clone(&ledger), Arc::clone(&stop)));
        chance.pause(400).await;
        if crash % 5 == 0 {
            // Cut a flush of everything in half.
            let client = sigyn.client();
            let flush = tokio::spawn(async move { client.post("/flush", &[], "").await.is_ok() });
            chance.pause(40).await;
            flush.abort();
        }
        sigyn.kill();
        stop.store(true, Ordering::Relaxed);
        writing.await.unwrap();
        if crash % 20 == 0 {
            check(folder.path(), &ledger, crash).await;
        }
    }
    check(folder.path(), &ledger, CRASHES).await;
    assert!(ledger.lock().await.acknowledged() > 1000, "the load did not get going");
}

async fn check(folder: &Path, ledger: &Arc<Mutex<Ledger>>, crash: u32) {
    let sigyn = Sigyn::start(folder, busy()).await;
    let difference = ledger.lock().await.compare(&sigyn.client()).await;
    assert_eq!(difference, Difference::default(), "after crash {crash}; log:\n{}", sigyn.log());
    sigyn.stop().await;
}

/// The newest file of the write-ahead log.
fn last_log_file(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder.join("data/wal")).unwrap();
    let names = files.map(|entry| entry.unwrap().path());
    names.filter(|path| path.extension().is_some_and(|e| e == "wal")).max().unwrap()
}

/// Pushes some batches and kills the process before anything is flushed.
async fn crashed_with_unflushed_lines(folder: &Path, ledger: &mut Ledger) {
    let sigyn = Sigyn::start(folder, Start::default()).await;
    for _ in 0..20 {
        let lines = ledger.next_lines(25);
        assert_eq!(sigyn.client().push(&lines).await.unwrap().status(), 204);
        ledger.acknowledge(&lines);
    }
    sigyn.kill();
}

#[tokio::test]
async fn a_torn_record_at_the_end_of_the_log_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::default();
    for torn_bytes in [1, 7, 300] {
        crashed_with_unflushed_lines(folder.path(), &mut ledger).await;
        let path = last_log_file(folder.path());
        let mut bytes = fs::read(&path).unwrap();
        // What a crash inside a write leaves: the beginning of another record.
        let torn = bytes[bytes.len() / 2..].to_vec();
        bytes.extend(torn.iter().cycle().take(torn_bytes));
        fs::write(&path, &bytes).unwrap();
        let sigyn = Sigyn::start(folder.path(), Start::default()).await;
        assert_eq!(ledger.compare(&sigyn.client()).await, Difference::default());
        sigyn.kill();
    }
}

#[tokio::test]
async fn a_damaged_record_costs_only_its_own_lines_and_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::default();
    crashed_with_unflushed_lines(folder.path(), &mut ledger).await;
    let path = last_log_file(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    fs::write(&path, &bytes).unwrap();

    let sigyn = Sigyn::start(folder.path(), Start::default()).await;
    let difference = ledger.compare(&sigyn.client()).await;
    assert_eq!(difference.missing.len(), 25, "one push of 25 lines stands in the record");
    assert_eq!((difference.doubled.len(), difference.foreign.len()), (0, 0));
    let metrics = sigyn.client().get("/metrics", &[]).await.unwrap().text().await.unwrap();
    let corruptions = metrics
        .lines()
        .find(|line| line.starts_with("loki_ingester_wal_corruptions_total"))
        .expect("damage is counted");
    assert!(!corruptions.ends_with(" 0"), "{corruptions}");
    assert!(sigyn.log().contains("the log is damaged here"), "damage is logged");
}

#[tokio::test]
async fn a_stop_flushes_and_the_log_can_then_be_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::default();
    let sigyn = Sigyn::start(folder.path(), Start::default()).await;
    for _ in 0..20 {
        let lines = ledger.next_lines(25);
        assert_eq!(sigyn.client().push(&lines).await.unwrap().status(), 204);
        ledger.acknowledge(&lines);
    }
    assert_eq!(ledger.compare(&sigyn.client()).await, Difference::default());
    sigyn.stop().await;
    fs::remove_dir_all(folder.path().join("data/wal")).unwrap();
    let sigyn = Sigyn::start(folder.path(), Start::default()).await;
    assert_eq!(ledger.compare(&sigyn.client()).await, Difference::default());
}

/// A file system of a few megabytes, seen only by the process, and the way to it from outside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_writes_loses_nothing_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir_all(&data).unwrap();
    let script = format!("mount -t tmpfs -o size=24m none {} && exec \"$@\"", data.display());
    let wrapper = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"];
    let start = Start {
        config: "ingester: {flush_size: 4MB}\n".to_owned(),
        wrapper: wrapper.map(str::to_owned).to_vec(),
    };
    let sigyn = Sigyn::start(folder.path(), start).await;
    let inside = PathBuf::from(format!("/proc/{}/root{}", sigyn.pid(), data.display()));

    let mut ledger = Ledger::default();
    push_some(&sigyn, &mut ledger, 10).await;
    // Somebody else fills the disk.
    let filler = inside.join("filler");
    fill(&filler);
    let refusal = loop_until_refused(&sigyn, &mut ledger).await;
    assert!(refusal.0 >= 500, "{refusal:?}");
    assert!(refusal.1.contains("No space left on device"), "{refusal:?}");
    // Reading goes on.
    assert_eq!(ledger.compare(&sigyn.client()).await, Difference::default());
    // Room again: the next pushes are taken without a restart.
    fs::remove_file(&filler).unwrap();
    let client = sigyn.client();
    wait::until("pushes are taken again", || async {
        let lines = ledger_line();
        let answer = client.push(&[lines]).await.unwrap();
        (answer.status() == 204).then_some(())
    })
    .await;
    push_some(&sigyn, &mut ledger, 10).await;
    assert_eq!(ledger.compare(&sigyn.client()).await, Difference::default());
}

async fn push_some(sigyn: &Sigyn, ledger: &mut Ledger, pushes: usize) {
    for _ in 0..pushes {
        let lines = ledger.next_lines(25);
        assert_eq!(sigyn.client().push(&lines).await.unwrap().status(), 204);
        ledger.acknowledge(&lines);
    }
}

/// Pushes until the full disk shows; answers status and text of the refusal.
async fn loop_until_refused(sigyn: &Sigyn, ledger: &mut Ledger) -> (u16, String) {
    for _ in 0..2000 {
        let lines = ledger.next_lines(50);
        let answer = sigyn.client().push(&lines).await.unwrap();
        match answer.status().as_u16() {
            204 => ledger.acknowledge(&lines),
            status => return (status, answer.text().await.unwrap()),
        }
    }
    panic!("no push was refused though the disk is full");
}

/// A line outside the ledger.
fn ledger_line() -> system::client::Line {
    system::client::Line {
        stream: r#"{"ledger":"no"}"#.to_owned(),
        timestamp: system::ledger::EPOCH,
        text: "is there room again?".to_owned(),
    }
}

/// Writes zeros to `path` until the file system takes no more.
fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = fs::File::create(path).unwrap();
    for size in [1 << 20, 4096, 1] {
        let zeros = vec![0u8; size];
        while file.write_all(&zeros).is_ok() {}
    }
}
