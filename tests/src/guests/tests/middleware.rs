//! Middleware.

use super::super::actors::Break;
use super::super::middleware::{self, Modify};
use super::*;

#[test]
fn middleware_says_what_it_was_made_to_say_at_each_point() {
    let all = [Point::Request, Point::Response, Point::Error];
    let full = Modify::default()
        .status(418)
        .set("a", "1")
        .set("b", "")
        .add("c", "22")
        .remove("d")
        .remove("e")
        .body("B");
    let modification = |action| match action {
        Action::Modify(modification) => modification,
        other => panic!("{other:?}"),
    };
    for point in all {
        assert!(matches!(Running::new(&middleware::continues(&all)).at(point).unwrap(), Action::Continue));
        let rejects = Running::new(&middleware::rejects(&[point], 401)).at(point).unwrap();
        assert!(matches!(rejects, Action::Reject(401)));
        let made = modification(Running::new(&full.at(&all)).at(point).unwrap());
        assert_eq!((made.status, made.body_replace.as_deref()), (Some(418), Some(&b"B"[..])));
        assert_eq!(made.headers_set, [("a".to_owned(), b"1".to_vec()), ("b".into(), Vec::new())]);
        assert_eq!(made.headers_add, [("c".to_owned(), b"22".to_vec())]);
        assert_eq!(made.headers_remove, ["d", "e"]);
        let nothing = modification(Running::new(&Modify::default().at(&[point])).at(point).unwrap());
        assert!(nothing.status.is_none() && nothing.headers_set.is_empty() && nothing.body_replace.is_none());
        assert!(Running::new(&middleware::breaks(&all, Break::Trap)).at(point).is_err());
        assert!(Running::new(&middleware::breaks(&all, Break::Spin)).at(point).is_err());
    }
}

#[test]
fn middleware_shows_what_it_was_shown() {
    let mut shows = Running::new(&middleware::shows());
    for _ in 0..2 {
        for (point, headers) in [
            (
                Point::Request,
                "seen-method=PUT seen-path=/p seen-query=q=1 seen-host=gw seen-id=id-1 seen-params=0 seen-bytes=4",
            ),
            (Point::Response, "seen-status=201 seen-bytes=12"),
            (
                Point::Error,
                "seen-id=id-2 seen-method=GET seen-path=/broken seen-status=504 seen-kind=TimeoutError seen-message=too slow",
            ),
        ] {
            let Action::Modify(made) = shows.at(point).unwrap() else { panic!("{point:?}") };
            let seen: Vec<String> = made
                .headers_set
                .iter()
                .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)))
                .collect();
            assert_eq!(seen.join(" "), headers);
        }
    }
}
