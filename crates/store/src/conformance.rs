//! What every kind of object storage must do, as one function to run against each.
//!
//! Memory and files are checked by this crate's tests, remote services by the system tests.

use bytes::Bytes;

use crate::bucket::{Bucket, Created};
use crate::error::Error;

/// Bytes of the larger objects; more than one page, less than a part of a multipart upload.
const LARGE_BYTES: usize = 1 << 20;

/// Runs every check. `scope` is a name below which nothing stands and nobody else works.
///
/// # Errors
///
/// The first error that the storage should not have answered.
///
/// # Panics
///
/// When an answer is wrong; the message says what was expected.
pub async fn check(bucket: &Bucket, scope: &str) -> Result<(), Error> {
    creates_once(bucket, &format!("{scope}/create")).await?;
    replaces(bucket, &format!("{scope}/replace")).await?;
    reads_ranges(bucket, &format!("{scope}/ranges")).await?;
    lists(bucket, &format!("{scope}/list")).await?;
    deletes(bucket, &format!("{scope}/delete")).await?;
    keeps_names(bucket, &format!("{scope}/names")).await?;
    bucket_is_empty(bucket, scope).await
}

async fn creates_once(bucket: &Bucket, scope: &str) -> Result<(), Error> {
    let name = format!("{scope}/one");
    let created = bucket.create(&name, Bytes::from_static(b"first")).await?;
    assert_eq!(created, Created::New, "a new object is created");
    let again = bucket.create(&name, Bytes::from_static(b"second!")).await?;
    assert_eq!(again, Created::Existed { bytes: 5 }, "an object is never created twice");
    assert_eq!(&bucket.get(&name).await?[..], b"first", "the first writer wins");
    bucket.delete(&name).await
}

async fn replaces(bucket: &Bucket, scope: &str) -> Result<(), Error> {
    let name = format!("{scope}/one");
    for text in ["long text", "short", ""] {
        bucket.replace(&name, Bytes::from(text)).await?;
        assert_eq!(&bucket.get(&name).await?[..], text.as_bytes(), "the last writer wins");
    }
    bucket.delete(&name).await
}

async fn reads_ranges(bucket: &Bucket, scope: &str) -> Result<(), Error> {
    let name = format!("{scope}/large");
    let object: Vec<u8> = (0..LARGE_BYTES).map(|i| (i.wrapping_mul(31) >> 3) as u8).collect();
    bucket.create(&name, Bytes::from(object.clone())).await?;
    let end = LARGE_BYTES as u64;
    let ranges = [end - 10..end, 0..1, 5..5, 300_000..300_100, 100..1_000, 0..end];
    let parts = bucket.read(&name, &ranges).await?;
    assert_eq!(parts.len(), ranges.len(), "one answer for each range");
    for (range, part) in ranges.iter().zip(&parts) {
        let expected = &object[range.start as usize..range.end as usize];
        assert_eq!(&part[..], expected, "the bytes of {range:?}");
    }
    assert_eq!(bucket.read(&name, &[]).await?.len(), 0, "no range, no answer");
    let past = end - 1..end + 1;
    let past = bucket.read(&name, &[past]).await;
    assert!(past.is_err(), "a range past the end is an error");
    bucket.delete(&name).await
}

async fn lists(bucket: &Bucket, scope: &str) -> Result<(), Error> {
    for (name, text) in [("a/1", "x"), ("a/2", "yy"), ("a/b/3", "zzz"), ("ab/4", "")] {
        bucket.create(&format!("{scope}/{name}"), Bytes::from(text)).await?;
    }
    let listed = |prefix: String| async move {
        let mut objects = bucket.list(&prefix).await?;
        objects.sort();
        let strip = |name: &str| name.strip_prefix(scope).unwrap_or(name).to_owned();
        Ok::<_, Error>(objects.into_iter().map(|o| (strip(&o.name), o.bytes)).collect::<Vec<_>>())
    };
    let below = |names: &[(&str, u64)]| -> Vec<(String, u64)> {
        names.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes)).collect()
    };
    let of_a = listed(format!("{scope}/a")).await?;
    assert_eq!(of_a, below(&[("/a/1", 1), ("/a/2", 2), ("/a/b/3", 3)]), "whole parts only");
    assert_eq!(listed(scope.to_owned()).await?.len(), 4, "everything below");
    assert!(listed(format!("{scope}/nothing")).await?.is_empty(), "nothing below");
    for name in ["a/1", "a/2", "a/b/3", "ab/4"] {
        bucket.delete(&format!("{scope}/{name}")).await?;
    }
    Ok(())
}

async fn deletes(bucket: &Bucket, scope: &str) -> Result<(), Error> {
    let name = format!("{scope}/one");
    bucket.create(&name, Bytes::from_static(b"x")).await?;
    bucket.delete(&name).await?;
    bucket.delete(&name).await?;
    let missing = |result: Result<(), Error>| matches!(result, Err(Error::NotFound { .. }));
    assert!(missing(bucket.get(&name).await.map(|_| ())), "a deleted object is not found");
    let first_byte = 0..1;
    let range = bucket.read(&name, &[first_byte]).await;
    assert!(missing(range.map(|_| ())), "nor are its ranges");
    let created = bucket.create(&name, Bytes::from_static(b"new")).await?;
    assert_eq!(created, Created::New, "a deleted name can be used again");
    bucket.delete(&name).await
}

/// Tenants may use any of these characters.
async fn keeps_names(bucket: &Bucket, scope: &str) -> Result<(), Error> {
    let name = format!("{scope}/.A-z_0!*'()/x");
    bucket.create(&name, Bytes::from_static(b"x")).await?;
    let listed = bucket.list(scope).await?;
    assert_eq!(listed.first().map(|object| object.name.as_str()), Some(name.as_str()));
    bucket.delete(&name).await
}

async fn bucket_is_empty(bucket: &Bucket, scope: &str) -> Result<(), Error> {
    assert!(bucket.list(scope).await?.is_empty(), "the checks leave nothing behind");
    Ok(())
}
