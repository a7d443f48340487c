use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn sample(kind: Kind, name: &str, labels: &[(&str, &str)], value: f64) -> Sample {
    let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Sample { kind, name: name.to_owned(), labels, value }
}

fn guests(functions: &[&str]) -> Guests {
    let guests = Guests::default();
    functions.iter().for_each(|id| guests.expect(id));
    guests
}

fn page(guests: &Guests) -> String {
    let mut page = Vec::new();
    guests.render(&mut page).unwrap();
    String::from_utf8(page).unwrap()
}

/// A page as the format's rules have it: HELP, TYPE and then all samples of one family together, no series twice, a
/// histogram's buckets in ascending order and ending with `+Inf`, which equals its count. Returns the samples.
fn read_strictly(page: &str) -> BTreeMap<String, f64> {
    assert!(page.is_empty() || page.ends_with('\n'), "the last line has no end");
    let (mut seen, mut samples, mut lines) = (BTreeSet::new(), BTreeMap::new(), page.lines().peekable());
    while let Some(help) = lines.next() {
        let (name, _) = help.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')).unwrap();
        let of_type = lines.next().and_then(|l| l.strip_prefix(&format!("# TYPE {name} "))).unwrap();
        assert!(seen.insert(name.to_owned()), "{name}: a second family of the name, or after its samples");
        let mut buckets: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let value: f64 = value.parse().unwrap();
            let (of, labels) = series.split_once('{').unwrap();
            let mut labels = read_labels(labels.strip_suffix('}').unwrap());
            let bound = labels.remove("le");
            let key = format!("{labels:?}");
            match of.strip_prefix(name).unwrap() {
                "" => assert!(matches!(of_type, "counter" | "gauge") && bound.is_none(), "{line}"),
                "_bucket" => {
                    let bound: f64 = bound.unwrap().replace("+Inf", "inf").parse().unwrap();
                    let before = buckets.insert(key, (bound, value));
                    assert!(before.is_none_or(|(b, v)| b < bound && v <= value), "{line}");
                }
                "_sum" => assert_eq!(of_type, "histogram"),
                "_count" => assert_eq!(buckets[&key], (f64::INFINITY, value), "{line}"),
                _ => panic!("{line} does not belong to {name}"),
            }
            // A later family of this name would be declared after its first sample.
            seen.insert(of.to_owned());
            assert!(samples.insert(series.to_owned(), value).is_none(), "twice: {series}");
        }
    }
    samples
}

/// `a="x",b="y"` with the escapes of the format, and no name twice.
fn read_labels(text: &str) -> BTreeMap<String, String> {
    let (mut labels, mut rest) = (BTreeMap::new(), text);
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").unwrap();
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{name}");
        let (mut value, mut chars) = (String::new(), after.char_indices());
        let end = loop {
            match chars.next().unwrap() {
                (at, '"') => break at,
                (_, '\\') => match chars.next().unwrap().1 {
                    'n' => value.push('\n'),
                    c @ ('\\' | '"') => value.push(c),
                    c => panic!("no such escape: {c}"),
                },
                (_, c) => value.push(c),
            }
        };
        assert!(labels.insert(name.to_owned(), value).is_none(), "the label {name} twice");
        rest = after.get(end + 1..).unwrap();
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    labels
}

#[test]
fn functions_share_a_family_with_labels_of_their_own() {
    let guests = guests(&["a", "b"]);
    guests.take("a", sample(Kind::Counter, "seen", &[("kind", "x"), ("where", "1")], 2.0)).unwrap();
    guests.take("a", sample(Kind::Counter, "seen", &[("kind", "x"), ("where", "1")], 0.5)).unwrap();
    guests.take("b", sample(Kind::Counter, "seen", &[], 7.0)).unwrap();
    guests.take("b", sample(Kind::Gauge, "seen", &[("odd", "\"\\ü")], 3.0)).unwrap();
    guests.take("b", sample(Kind::Gauge, "seen", &[("odd", "\"\\ü")], -1.0)).unwrap();
    let page = page(&guests);
    let samples = read_strictly(&page);
    for (series, value) in [
        (r#"twinlet_guest_counter_seen_total{function_id="a",kind="x",where="1"}"#, 2.5),
        (r#"twinlet_guest_counter_seen_total{function_id="b"}"#, 7.0),
        (r#"twinlet_guest_gauge_seen{function_id="b",odd="\"\\ü"}"#, -1.0),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series} in\n{page}");
    }
    assert_eq!(page.matches("# TYPE twinlet_guest_counter_seen_total counter\n").count(), 1);
    assert_eq!(page.matches("# TYPE twinlet_guest_gauge_seen gauge\n").count(), 1);
}

#[test]
fn a_histogram_counts_by_size() {
    let guests = guests(&["f"]);
    for value in [0.001, 0.002, 4.0, 1e9, -1.0] {
        guests.take("f", sample(Kind::Histogram, "took", &[("of", "x")], value)).unwrap();
    }
    let page = page(&guests);
    let samples = read_strictly(&page);
    let bucket = |le: &str| {
        let series = format!(r#"twinlet_guest_histogram_took_bucket{{function_id="f",of="x",le="{le}"}}"#);
        samples.get(&series).copied()
    };
    for (le, count) in [
        ("0.001", 2.0),
        ("0.0025", 3.0),
        ("2.5", 3.0),
        ("5", 4.0),
        ("1000", 4.0),
        ("5000", 4.0),
        ("+Inf", 5.0),
    ] {
        assert_eq!(bucket(le), Some(count), "{le} in\n{page}");
    }
    assert_eq!(samples[r#"twinlet_guest_histogram_took_count{function_id="f",of="x"}"#], 5.0);
    assert_eq!(samples[r#"twinlet_guest_histogram_took_sum{function_id="f",of="x"}"#], 1e9 + 3.003);
}

#[test]
fn a_function_has_64_series_and_its_neighbour_its_own() {
    let guests = guests(&["greedy", "good"]);
    let label = |n: usize| sample(Kind::Gauge, "g", &[("n", &n.to_string())], 1.0);
    for n in 0..MAX_SERIES {
        guests.take("greedy", label(n)).unwrap();
    }
    assert!(matches!(guests.take("greedy", label(MAX_SERIES)), Err(Error::TooMany)));
    assert!(matches!(guests.take("greedy", sample(Kind::Counter, "c", &[], 1.0)), Err(Error::TooMany)));
    guests.take("greedy", label(0)).unwrap();
    guests.take("good", label(MAX_SERIES)).unwrap();
    assert_eq!(read_strictly(&page(&guests)).len(), MAX_SERIES + 1);
}

#[test]
fn what_goes_leaves_nothing_and_counts_from_zero_when_it_comes_back() {
    let guests = guests(&["gone", "stays"]);
    for n in 0..MAX_SERIES {
        guests.take("gone", sample(Kind::Counter, &format!("c{n}"), &[], 1.0)).unwrap();
    }
    guests.take("stays", sample(Kind::Counter, "c0", &[], 1.0)).unwrap();
    guests.forget("gone");
    let late = guests.take("gone", sample(Kind::Counter, "c0", &[], 1.0));
    assert!(matches!(late, Err(Error::TooMany)), "an instance at work brought a gone function back");
    let page_without = page(&guests);
    assert_eq!(read_strictly(&page_without).len(), 1, "{page_without}");
    guests.expect("gone");
    guests.take("gone", sample(Kind::Counter, "c0", &[], 1.0)).unwrap();
    assert_eq!(read_strictly(&page(&guests))[r#"twinlet_guest_counter_c0_total{function_id="gone"}"#], 1.0);
}

#[test]
fn a_name_never_is_two_things() {
    let guests = guests(&["f"]);
    for suffix in HISTOGRAM_SUFFIXES {
        let refused = guests.take("f", sample(Kind::Histogram, &format!("x{suffix}"), &[], 1.0));
        assert!(matches!(refused, Err(Error::Invalid(_))), "{suffix}");
        guests.take("f", sample(Kind::Gauge, &format!("x{suffix}"), &[], 1.0)).unwrap();
        guests.take("f", sample(Kind::Counter, &format!("x{suffix}"), &[], 1.0)).unwrap();
    }
    guests.take("f", sample(Kind::Histogram, "x", &[("quantile", "1")], 1.0)).unwrap();
    read_strictly(&page(&guests));
}

#[test]
fn what_grows_without_end_stays_a_number() {
    let guests = guests(&["f"]);
    for value in [f64::MAX, f64::MAX] {
        guests.take("f", sample(Kind::Counter, "c", &[], value)).unwrap();
        guests.take("f", sample(Kind::Histogram, "h", &[], value)).unwrap();
    }
    for _ in 0..2 {
        guests.take("f", sample(Kind::Histogram, "h", &[], f64::MIN)).unwrap();
    }
    assert!(read_strictly(&page(&guests)).values().all(|value| value.is_finite()));
}
