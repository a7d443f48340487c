//! The command line, where it tells what is so: to people, to scripts, and to nobody.

use std::os::unix::net::UnixListener;

use serde_json::Value;
use twinlet_tests::cli::COLUMNS;
use twinlet_tests::{Agent, Cli, Site, eventually, guests};

use crate::{agent, site, twinlet};

const ESCAPE: char = '\u{1b}';

/// A site with a function that runs, and one that does not.
fn half_broken() -> Site {
    let site = site();
    let (good, bad) =
        (site.function("good", guests::answers("x")), site.function("bad", guests::traps_at_start()));
    site.apply(1, |d| d.serving(good.clone()));
    site.hub.publish_desired(twinlet_tests::Desired::version(2).serving(good).serving(bad));
    site.hub.reported_where("`bad` to have failed", |r| {
        matches!(r["functions"]["bad"]["phase"].as_str(), Some("failed" | "backoff"))
    });
    site
}

/// Every command that only shows.
fn shows(site: &Site) -> [(&'static [&'static str], Cli); 6] {
    let cli = twinlet(&site.agent);
    let all: [&[&str]; 6] =
        [&["status"], &["functions"], &["why", "bad"], &["logs"], &["logs", "good"], &["metrics"]];
    all.map(|args| (args, cli.clone()))
}

fn lines_with<'a>(text: &'a str, what: &str) -> Vec<&'a str> {
    text.lines().filter(|line| line.contains(what)).collect()
}

#[test]
fn status_is_a_page_that_names_what_does_not_run() {
    let site = half_broken();
    let page = twinlet(&site.agent).run(&["status"]).done().out;
    assert!(page.starts_with("Node       node-1 in test-pop\n"), "{page}");
    assert!(page.contains("Broker     connected\n") && page.contains("1 of 2 running"), "{page}");
    let bad = lines_with(&page, "  bad  ");
    assert!(bad.len() == 1 && bad[0].contains("unreachable"), "{page}");
    assert!(lines_with(&page, "  good  ").is_empty(), "{page}");
}

#[test]
fn functions_are_a_table_with_one_line_for_each() {
    let site = half_broken();
    assert_eq!(site.agent.get("/good").text(), "x");
    let table = twinlet(&site.agent).run(&["functions"]).done().out;
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert_eq!(lines[0][..4], ["FUNCTION", "PHASE", "VERSION", "ORIGIN"]);
    assert_eq!(lines[1][0], "bad");
    assert_eq!(lines[2][..5], ["good", "running", "1", "twin", "/good"], "{table}");
    assert_eq!(lines[2][6..], ["1", "0", "-"], "one call, no error: {table}");
}

#[test]
fn why_says_the_cause_before_the_chain() {
    let site = half_broken();
    let cli = twinlet(&site.agent);
    let said = cli.run(&["why", "bad"]).done().out;
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("bad does not run: ") && lines[0].contains("unreachable"), "{said}");
    assert!(lines[2..].iter().any(|line| line.starts_with("✓  artifact ")), "{said}");
    assert!(lines[2..].iter().any(|line| line.starts_with("✗  started ")), "{said}");
    let ascii = cli.clone().env("LANG", "C").run(&["why", "bad"]).done().out;
    assert!(ascii.contains("\nBAD  started ") && ascii.contains("\nok   compiled "), "{ascii}");
    let unknown = cli.run(&["why", "nobody"]);
    assert_eq!((unknown.code, unknown.out.as_str()), (1, ""));
    assert!(unknown.err.contains("no function `nobody`"), "{unknown:?}");
}

#[test]
fn json_is_the_agents_own_and_alone_on_standard_output() {
    let site = half_broken();
    let cli = twinlet(&site.agent);
    let json = |args: &[&str]| cli.run(args).done().json();
    assert_eq!(json(&["status", "--json"])["functions"], serde_json::json!({ "total": 2, "running": 1 }));
    assert_eq!(json(&["functions", "--json"])["functions"][1]["id"], "good");
    assert_eq!(json(&["why", "good", "--json"])["conclusion"], "good runs as it is wanted");
    let logs = cli.run(&["logs", "--json", "bad"]).done().out;
    let lines: Vec<Value> = logs.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        !lines.is_empty() && lines.iter().all(|line| line["text"].as_str().unwrap().contains("bad")),
        "{logs}"
    );
}

#[test]
fn what_is_piped_is_plain_and_what_is_shown_on_a_terminal_has_colour() {
    let site = half_broken();
    for (args, cli) in shows(&site) {
        let piped = cli.run(args).done();
        assert!(!piped.out.contains(ESCAPE) && !piped.err.contains(ESCAPE), "{args:?}: {piped:?}");
        assert!(!cli.clone().env("NO_COLOR", "1").on_terminal(args).contains(ESCAPE), "{args:?}");
        assert!(!cli.clone().env("TERM", "dumb").on_terminal(args).contains(ESCAPE), "{args:?}");
        let shown = cli.on_terminal(args);
        assert_eq!(shown.contains(ESCAPE), args != ["metrics"], "{args:?}: {shown:?}");
    }
}

#[test]
fn a_table_ends_where_the_terminal_ends_and_nowhere_else() {
    let site = half_broken();
    let cli = twinlet(&site.agent).env("NO_COLOR", "1");
    let of_bad =
        |table: &str| lines_with(table, "bad ").first().map_or(String::new(), |line| (*line).to_owned());
    let (shown, piped) = (of_bad(&cli.on_terminal(&["functions"])), of_bad(&cli.run(&["functions"]).out));
    assert!(piped.chars().count() > COLUMNS && !piped.contains('…'), "{piped}");
    assert!(shown.ends_with('…') && shown.chars().count() <= COLUMNS + 8, "{shown}");
    let wide = of_bad(&cli.env("COLUMNS", "5000").on_terminal(&["functions"]));
    assert!(!wide.contains('…') && wide.chars().count() > COLUMNS, "{wide}");
}

#[test]
fn a_followed_log_shows_new_lines_and_ends_with_the_agent() {
    let mut site = site();
    let mut log = twinlet(&site.agent).start(&["logs", "-f", "-n", "1", "fn"]);
    let function = site.function("fn", guests::answers("x"));
    site.apply(1, |d| d.serving(function));
    let line = log.says("function fn v1: ready");
    assert!(line.contains("Z INFO ") && line.starts_with("20"), "a time, a level and the text: {line}");
    site.agent.sigterm();
    assert_eq!(site.agent.wait_exit(twinlet_tests::DEADLINE), 0);
    assert_eq!(log.wait_exit(), 1);
    log.says("the log ends here");
}

#[test]
fn the_log_is_bounded_and_chosen_by_level() {
    let site = half_broken();
    let cli = twinlet(&site.agent);
    assert_eq!(cli.run(&["logs", "-n", "3"]).done().out.lines().count(), 3);
    let grave = cli.run(&["logs", "--level", "error"]).done().out;
    assert!(!grave.is_empty() && grave.lines().all(|line| line.contains("Z ERROR ")), "{grave}");
    assert_eq!(cli.run(&["logs", "-n", "5001"]).code, 2);
    assert_eq!(cli.run(&["logs", "--level", "loud"]).code, 2);
}

#[test]
fn metrics_are_the_page_or_a_part_of_it() {
    let site = site();
    let cli = twinlet(&site.agent);
    site.agent.metrics_where("the connection to be counted", |m| m.sum("twinlet_mqtt_connected", &[]) == 1.0);
    let whole = cli.run(&["metrics"]).done().out;
    let part = cli.run(&["metrics", "twinlet_mqtt_c"]).done().out;
    assert!(part.starts_with("# HELP twinlet_mqtt_connected "), "{part}");
    assert!(part.ends_with("# TYPE twinlet_mqtt_connected gauge\ntwinlet_mqtt_connected 1\n"), "{part}");
    assert!(part.len() < whole.len() && !part.contains("twinlet_outbox"), "{part}");
    assert_eq!(cli.run(&["metrics", "nothing_"]).code, 1);
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    let site = half_broken();
    for (args, cli) in shows(&site) {
        let said = cli.unread(args);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{args:?}");
    }
}

#[test]
fn where_no_agent_is_the_socket_is_named_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent.sock");
    let cli = Cli::new(env!("CARGO_BIN_EXE_twinlet-agent"));
    let status = || cli.run(&["status", "--socket", socket.to_str().unwrap()]);
    let missing = status();
    assert_eq!((missing.code, missing.out.as_str()), (1, ""));
    for part in [socket.to_str().unwrap(), "no such socket", "`twinlet run`", "--socket"] {
        assert!(missing.err.contains(part), "{part}: {missing:?}");
    }
    drop(UnixListener::bind(&socket).unwrap());
    let left_behind = status();
    assert_eq!(left_behind.code, 1);
    assert!(left_behind.err.contains("nobody listens"), "{left_behind:?}");
}

#[test]
fn the_agent_is_found_by_flag_by_variable_and_by_its_configuration() {
    let one = agent().start();
    let (socket, folder) = (one.socket().display().to_string(), tempfile::tempdir().unwrap());
    let config = folder.path().join("twinlet.toml");
    std::fs::write(&config, format!("local_socket = \"{socket}\"\n")).unwrap();
    let config = config.to_str().unwrap();
    let bare = Cli::new(env!("CARGO_BIN_EXE_twinlet-agent"));
    let found =
        |cli: &Cli, args: &[&str]| cli.run(&[&["status"], args].concat()).done().out.contains("node-1");
    assert!(found(&bare, &["--socket", &socket]) && found(&bare, &["--config", config]));
    assert!(found(&bare.clone().env("TWINLET_CONFIG", config), &[]));
    assert!(found(&bare.clone().env("LOCAL_SOCKET", &socket).env("TWINLET_CONFIG", "/not/there"), &[]));
    let unusable = bare.run(&["status", "--config", "/not/there.toml"]);
    assert_eq!(unusable.code, 78);
    assert!(unusable.err.contains("/not/there.toml"), "{unusable:?}");
}

#[test]
fn an_agent_that_hangs_is_not_waited_for_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent.sock");
    let _never_answers = UnixListener::bind(&socket).unwrap();
    let cli = Cli::new(env!("CARGO_BIN_EXE_twinlet-agent")).env("LOCAL_SOCKET", socket.display());
    let said = cli.run(&["status"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("did not answer within 10 s"), "{said:?}");
}

#[test]
fn the_overview_lists_the_commands_and_each_help_has_examples() {
    let cli = Cli::new(env!("CARGO_BIN_EXE_twinlet-agent"));
    let overview = cli.run(&["--help"]).done().out;
    for command in ["status", "functions", "why", "logs", "metrics", "deploy", "delete", "invoke"] {
        assert!(overview.contains(&format!("\n  {command} ")), "{command}: {overview}");
        assert!(cli.run(&[command, "--help"]).done().out.contains("\nExamples:\n"), "{command}");
    }
    let bare = cli.run(&[]);
    assert_eq!(bare.code, 2);
    assert!(bare.err.contains("\n  status "), "{bare:?}");
    assert_eq!(cli.run(&["statsu"]).code, 2);
}

#[test]
fn what_a_function_says_can_not_steer_the_terminal() {
    let site = site().serving("fn", guests::returns_error("\u{1b}[2Jgone\u{7}"));
    assert_eq!(site.agent.get("/fn").status, 500);
    let cli = twinlet(&site.agent).env("NO_COLOR", "1");
    for args in [&["functions"] as &[&str], &["why", "fn"], &["logs", "fn"]] {
        let shown = cli.on_terminal(args);
        assert!(!shown.contains(ESCAPE) && !shown.contains('\u{7}'), "{args:?}: {shown:?}");
    }
    let told = |agent: &Agent| twinlet(agent).run(&["why", "fn"]).out.contains("[2Jgone");
    eventually("the error to be told", || told(&site.agent).then_some(()));
}
