use model::Level;

use super::*;

fn reading<'a>(tenant: &'a TenantId, limits: &'a Limits, fields: &'a LevelFields) -> Reading<'a> {
    let format = PushFormat::Loki;
    Reading { tenant, limits, level_fields: fields, format, policy: None, backfill_shard: None }
}

#[test]
fn a_text_is_read_once_for_each_set_of_limits() {
    let id = TenantId::new("t").unwrap();
    let limits = Arc::new(Limits::default());
    let tenants = Tenants::new(Config::default());
    let tenant = tenants.tenant(&id, &limits);
    assert!(Arc::ptr_eq(&tenant, &tenants.tenant(&id, &limits)));
    let fields = tenant.adopt(&limits);
    let read = |limits: &Limits| {
        let text = PushLabels::Text(r#"{level="warn", app="x"}"#);
        tenant.stream(text, &reading(&id, limits, &fields)).unwrap()
    };
    let first = read(&limits);
    assert_eq!(first.labels.canonical(), r#"{app="x", level="warn", service_name="x"}"#);
    assert_eq!(first.level, Some(Found::Level(Level::Warn)));
    assert_eq!(first.fingerprint, first.labels.fingerprint());
    assert!(Arc::ptr_eq(&first, &read(&limits)));
    tenant.adopt(&Arc::new(Limits::default()));
    assert!(Arc::ptr_eq(&first, &read(&limits)), "equal limits change nothing");
    let other = Arc::new(Limits { discover_service_name: vec![], ..Limits::default() });
    tenant.adopt(&other);
    assert_eq!(read(&other).labels.canonical(), r#"{app="x", level="warn"}"#);
}

#[test]
fn what_is_remembered_is_counted_and_bounded() {
    let (id, limits) = (TenantId::new("t").unwrap(), Arc::new(Limits::default()));
    let fields = level_fields(&limits);
    let tenants = Tenants::new(Config { known_streams_per_tenant: 8, ..Config::default() });
    let remembered = || tenants.remembered.load(Ordering::Relaxed);
    let tenant = tenants.tenant(&id, &limits);
    let read = |n: usize| {
        let text = format!("{{a=\"{n}\"}}");
        tenant.stream(PushLabels::Text(&text), &reading(&id, &limits, &fields)).unwrap();
    };
    for n in 0..100 {
        read(n);
        read(n / 2);
        assert_eq!(remembered(), tenant.known.lock().len());
        assert!(remembered() <= 8);
    }
    tenants.remembered.fetch_add(KNOWN_STREAMS_MAX, Ordering::Relaxed);
    read(1000);
    assert_eq!(remembered(), KNOWN_STREAMS_MAX + 1, "all tenants have too many: it forgot its own");
    tenant.adopt(&Arc::new(Limits { discover_service_name: vec![], ..Limits::default() }));
    assert_eq!(remembered(), KNOWN_STREAMS_MAX);
}

#[test]
fn special_streams() {
    let id = TenantId::new("t").unwrap();
    let limits = Arc::new(Limits { max_label_names: 1, ..Limits::default() });
    let tenant = Tenants::new(Config::default()).tenant(&id, &limits);
    let fields = tenant.adopt(&limits);
    let plain = reading(&id, &limits, &fields);
    let read =
        |text: &'static str, reading: Reading<'_>| tenant.stream(PushLabels::Text(text), &reading);
    let internal = read(r#"{__pattern__="x", a="1", b="2"}"#, plain).unwrap();
    assert!(internal.is_internal && internal.refusal.is_none());
    assert_eq!(internal.labels.len(), 3);
    let refused = read(r#"{a="1", b="2"}"#, plain).unwrap();
    assert_eq!(refused.refusal.as_ref().map(|r| r.reason), Some("max_label_names_per_series"));
    assert!(read(r#"{__backfill__="x"}"#, plain).is_err());
    assert!(read("{", plain).is_err());
    let backfill = read(r#"{a="1"}"#, Reading { backfill_shard: Some("s"), ..plain }).unwrap();
    assert_eq!(
        backfill.labels.canonical(),
        r#"{__backfill__="true", __backfill_shard__="s", a="1", service_name="unknown_service"}"#
    );
    assert_eq!(read(r#"{a="1"}"#, plain).unwrap().labels.len(), 2, "not remembered");
    assert_eq!(&*read(r#"{a="1"}"#, Reading { policy: Some("p"), ..plain }).unwrap().policy, "p");
    let otlp = Reading { format: PushFormat::Otlp, ..plain };
    assert_eq!(read(r#"{a="1"}"#, otlp).unwrap().labels.canonical(), r#"{a="1"}"#);
    assert!(read("", plain).unwrap().refusal.is_none(), "the service's name is a label too");
    assert_eq!(read("", otlp).unwrap().refusal.as_ref().map(|r| r.reason), Some("missing_labels"));
}
