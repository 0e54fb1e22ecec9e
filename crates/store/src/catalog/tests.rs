use super::*;

const HOUR: i64 = 3_600 * model::time::SECOND_NS;
/// Midnight of the day on which the tests' times begin.
const DAY: i64 = 20_000 * model::time::DAY_NS;

fn base36(mut value: u64, width: usize) -> String {
    let mut digits = Vec::new();
    while value > 0 || digits.len() < width {
        digits.push(char::from_digit((value % 36) as u32, 36).unwrap());
        value /= 36;
    }
    digits.iter().rev().collect()
}

fn name(tenant: &str, first: i64, last: i64, hash: u128) -> SegmentName {
    let tenant = TenantId::new(tenant).unwrap();
    let (first, last) = (DAY + first, DAY + last);
    let prefix = SegmentName::day_prefix(&tenant, Timestamp(first).day());
    let time = |at: i64| base36((at as u64) ^ (1 << 63), 13);
    let text = format!("{prefix}0/0{}-{}-1-{hash:032x}.1.seg", time(first), time(last));
    SegmentName::parse(&text).unwrap()
}

fn segment(name: &SegmentName) -> StoredSegment {
    StoredSegment { name: name.clone(), bytes: 10 }
}

fn object(name: &SegmentName) -> ObjectInfo {
    ObjectInfo { name: name.to_string(), bytes: 10 }
}

fn hashes(catalog: &Catalog, start: i64, end: i64) -> Vec<u128> {
    let tenant = TenantId::new("a").unwrap();
    let at = |offset: i64| Timestamp(DAY.saturating_add(offset));
    let range = TimeRange::new(at(start), at(end));
    catalog.select(&tenant, range).iter().map(|segment| segment.name.hash()).collect()
}

#[test]
fn segments_are_found_by_tenant_and_time() {
    let keeper = CatalogKeeper::default();
    for (tenant, first, last, hash) in [
        ("a", 0, HOUR, 1),
        ("a", HOUR, 2 * HOUR, 2),
        ("a", 30 * HOUR, 31 * HOUR, 3),
        // Stands under its first day and reaches into the third.
        ("a", 23 * HOUR, 50 * HOUR, 4),
        ("b", 0, 100 * HOUR, 5),
    ] {
        keeper.add(segment(&name(tenant, first, last, hash)), &[]);
    }
    let catalog = keeper.current();
    assert_eq!(hashes(&catalog, 0, 1), [1]);
    assert_eq!(hashes(&catalog, HOUR, HOUR + 1), [1, 2]);
    assert_eq!(hashes(&catalog, 49 * HOUR, 60 * HOUR), [4]);
    assert_eq!(hashes(&catalog, 31 * HOUR, 31 * HOUR + 1), [4, 3]);
    assert_eq!(hashes(&catalog, 60 * HOUR, 61 * HOUR), [0; 0]);
    assert_eq!(hashes(&catalog, i64::MIN, i64::MAX).len(), 4);
    assert_eq!(hashes(&catalog, 5, 5), [0; 0]);
    assert_eq!(catalog.total(), Totals { segments: 5, bytes: 50, rows: 5 });
    let tenants: Vec<String> = catalog.tenants().iter().map(ToString::to_string).collect();
    assert_eq!(tenants, ["a", "b"]);
}

#[test]
fn a_picture_never_changes() {
    let keeper = CatalogKeeper::default();
    let (one, two) = (name("a", 0, 1, 1), name("a", 0, 1, 2));
    keeper.add(segment(&one), &[]);
    let before = keeper.current();
    keeper.add(segment(&two), &[]);
    keeper.remove(&one);
    assert!(before.contains(&one) && !before.contains(&two));
    let after = keeper.current();
    assert!(!after.contains(&one) && after.contains(&two));
}

#[test]
fn a_listing_is_the_truth() {
    let keeper = CatalogKeeper::default();
    let (gone, kept, new) = (name("a", 0, 1, 1), name("a", 0, 1, 2), name("b", 0, 1, 3));
    keeper.add(segment(&gone), &[]);
    keeper.add(segment(&kept), &[]);
    let listing = keeper.begin();
    let foreign = ObjectInfo { name: "seg/a/readme.txt".into(), bytes: 1 };
    let refreshed = keeper.finish(listing, vec![object(&kept), object(&new), foreign]);
    assert_eq!(refreshed, Refreshed { added: 1, removed: 1, ignored: 1 });
    let catalog = keeper.current();
    assert!(!catalog.contains(&gone) && catalog.contains(&kept) && catalog.contains(&new));
}

#[test]
fn what_happens_during_a_listing_wins_over_it() {
    let keeper = CatalogKeeper::default();
    let (uploaded, deleted) = (name("a", 0, 1, 1), name("a", 0, 1, 2));
    keeper.add(segment(&deleted), &[]);
    let listing = keeper.begin();
    keeper.add(segment(&uploaded), &[]);
    keeper.remove(&deleted);
    let refreshed = keeper.finish(listing, vec![object(&deleted)]);
    assert_eq!(refreshed, Refreshed::default());
    let catalog = keeper.current();
    assert!(catalog.contains(&uploaded) && !catalog.contains(&deleted));

    // What happened is forgotten with the listing: the next one is the truth again.
    let listing = keeper.begin();
    keeper.finish(listing, vec![object(&deleted)]);
    let catalog = keeper.current();
    assert!(!catalog.contains(&uploaded) && catalog.contains(&deleted));
}

#[test]
fn what_happened_is_forgotten_though_some_listing_is_always_under_way() {
    let keeper = CatalogKeeper::default();
    let (one, two) = (name("a", 0, 1, 1), name("a", 0, 1, 2));
    let first = keeper.begin();
    keeper.add(segment(&one), &[]);
    let second = keeper.begin();
    keeper.finish(first, Vec::new());
    assert!(keeper.current().contains(&one), "it was stored while the listing was under way");
    let third = keeper.begin();
    // Somebody else has deleted it since.
    keeper.finish(second, vec![object(&two)]);
    assert!(!keeper.current().contains(&one) && keeper.current().contains(&two));
    keeper.remove(&two);
    let fourth = keeper.begin();
    keeper.finish(third, vec![object(&two)]);
    assert!(!keeper.current().contains(&two));
    let changes = keeper.changes.lock();
    assert!(changes.uploaded.is_empty() && changes.deleted.is_empty());
    drop(changes);
    drop(fourth);
}

#[test]
fn a_failed_listing_changes_nothing() {
    let keeper = CatalogKeeper::default();
    let one = name("a", 0, 1, 1);
    keeper.add(segment(&one), &[]);
    drop(keeper.begin());
    assert!(keeper.current().contains(&one));
    assert!(keeper.changes.lock().listings.is_empty());
}

#[test]
fn the_last_segment_takes_its_tenant_along() {
    let keeper = CatalogKeeper::default();
    let one = name("a", 0, 1, 1);
    keeper.add(segment(&one), &[]);
    keeper.remove(&one);
    assert!(keeper.current().tenants().is_empty());
}
