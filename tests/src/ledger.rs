//! What an agent under load has acknowledged, and whether it has kept it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::http::{self, Request};
use crate::wait::EndOf;
use crate::{Agent, Response, eventually};

/// Functions that send what they are posted to the hub, and answer with its number.
pub const SENDING: [&str; 2] = ["one", "two"];
/// How many post to each of them at once.
const AT_ONCE: usize = 2;
/// An actor that counts what `cast` casts to it.
pub const COUNTER: &str = "counter";
/// Actors that send what they are posted to the hub, some time later.
pub const TIMING: [&str; 2] = [SOON, LATER];
/// While the agent that was asked most likely still runs.
pub const SOON: &str = "soon";
/// When it most likely has been killed.
pub const LATER: &str = "later";

/// All that was asked and acknowledged, over all agents.
#[derive(Default)]
pub struct Ledger {
    /// Messages that were asked for, of any kind; each has a number of its own.
    asked: AtomicU64,
    /// By function and sequence number.
    sent: Mutex<BTreeMap<&'static str, BTreeMap<u64, String>>>,
    /// By function.
    timers: Mutex<BTreeMap<&'static str, Vec<String>>>,
    /// The highest count that was answered.
    count: AtomicU64,
    /// Casts that were asked for.
    casts: AtomicU64,
}

/// One client of an agent that may be killed.
struct Client<'a> {
    base: String,
    connections: ureq::Agent,
    killed: &'a AtomicBool,
}

impl Client<'_> {
    /// The answer; none once the agent is killed, or its disk is taken from it, whose refusals then mean nothing.
    fn post(&self, path: &str, body: &str) -> Option<Response> {
        let request = Request::new("POST", &format!("{}/{path}", self.base)).body(body);
        match request.send_by(&self.connections) {
            Ok(answer) if answer.status >= 500 && self.killed.load(Ordering::SeqCst) => None,
            Ok(answer) => Some(answer),
            Err(_) if self.killed.load(Ordering::SeqCst) => None,
            Err(error) => panic!("/{path}, though the agent was not killed: {error}"),
        }
    }
}

impl Ledger {
    /// Loads an agent from many sides until `moment` returns, then kills it.
    pub fn under_load(&self, agent: &mut Agent, moment: impl FnOnce()) {
        self.under_load_until(agent, |_| moment(), |_| {});
    }

    /// As `under_load`, with something done to the agent's surroundings just before it is killed, from which on its
    /// refusals mean nothing; what it acknowledges still does. `moment` may look at the agent.
    pub fn under_load_until(
        &self,
        agent: &mut Agent,
        moment: impl FnOnce(&Agent),
        before: impl FnOnce(&Agent),
    ) {
        let (killed, over) = (AtomicBool::new(false), AtomicBool::new(false));
        let goes_on = || !over.load(Ordering::SeqCst);
        let base = agent.url("");
        let client = || Client { base: base.clone(), connections: http::client(), killed: &killed };
        std::thread::scope(|threads| {
            for function in SENDING.repeat(AT_ONCE) {
                let client = client();
                threads.spawn(move || while self.send(&client, function).is_some() && goes_on() {});
            }
            for function in TIMING {
                let client = client();
                threads.spawn(move || while self.set_timer(&client, function).is_some() && goes_on() {});
            }
            let client = client();
            threads.spawn(move || while self.cast(&client).is_some() && goes_on() {});
            let _ends = EndOf(&over);
            moment(agent);
            killed.store(true, Ordering::SeqCst);
            before(agent);
            agent.kill9();
        });
    }

    fn next(&self, function: &str) -> String {
        format!("{function} {}", self.asked.fetch_add(1, Ordering::SeqCst))
    }

    fn send(&self, client: &Client<'_>, function: &'static str) -> Option<String> {
        let message = self.next(function);
        let answer = client.post(function, &message)?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let number = answer.text().parse().unwrap();
        let before = self.sent.lock().unwrap().entry(function).or_default().insert(number, message.clone());
        assert_eq!(before, None, "number {number} of {function} was given before, and now to {message}");
        Some(message)
    }

    fn set_timer(&self, client: &Client<'_>, function: &'static str) -> Option<String> {
        let message = self.next(function);
        let answer = client.post(function, &message)?;
        match (answer.status, answer.text().as_str()) {
            (200, "ok") => {
                self.timers.lock().unwrap().entry(function).or_default().push(message.clone());
            }
            // It has as many timers as it may: then this one was not taken.
            (200, "1") => {}
            // There is no disk to keep it on, and that was on purpose.
            (200, "5") if client.killed.load(Ordering::SeqCst) => return None,
            refused => panic!("a timer of {function}: {refused:?}"),
        }
        Some(message)
    }

    fn cast(&self, client: &Client<'_>) -> Option<()> {
        self.casts.fetch_add(1, Ordering::SeqCst);
        let cast = client.post("cast", "x")?;
        assert_eq!(cast.status, 202, "{}", cast.text());
        let answer = client.post(COUNTER, "")?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        if client.killed.load(Ordering::SeqCst) {
            // It may be a count that could not be kept.
            return None;
        }
        let count = answer.text().parse().unwrap();
        let before = self.count.swap(count, Ordering::SeqCst);
        assert!(count > before, "{count} after {before} and one more");
        Some(())
    }

    /// How many messages, timers and casts were acknowledged.
    pub fn promises(&self) -> u64 {
        let sent: usize = self.sent.lock().unwrap().values().map(BTreeMap::len).sum();
        let timers: usize = self.timers.lock().unwrap().values().map(Vec::len).sum();
        u64::try_from(sent + timers).unwrap() + self.count.load(Ordering::SeqCst)
    }

    /// A last message of a function, acknowledged.
    pub fn last(&self, agent: &Agent, function: &'static str) -> String {
        let client =
            Client { base: agent.url(""), connections: http::client(), killed: &AtomicBool::new(false) };
        let last = match TIMING.contains(&function) {
            true => self.set_timer(&client, function),
            false => self.send(&client, function),
        };
        last.unwrap()
    }

    /// Sees to it that the actor has what it had synced, and nothing that was never cast.
    pub fn check_count(&self, agent: &Agent) -> String {
        let ask = || Some(agent.post("/counter", "")).filter(|answer| answer.status == 200);
        let count: u64 = eventually("the actor that counts", ask).text().parse().unwrap();
        let (acknowledged, asked) = (self.count.load(Ordering::SeqCst), self.casts.load(Ordering::SeqCst));
        assert!((acknowledged..=asked).contains(&count), "{acknowledged} <= {count} <= {asked}");
        format!("counts {count}, acknowledged {acknowledged}, cast {asked}")
    }

    /// Sees to it that each message that was acknowledged has arrived, and before those with higher numbers.
    pub fn check_telemetry(&self, function: &str, arrived: &[String]) -> String {
        let (first, summary) = self.first_arrivals(function, arrived);
        let sent = self.sent.lock().unwrap();
        let mut before = (0, None);
        for (number, message) in &sent[function] {
            let at = first.get(message.as_str()).copied();
            assert!(at.is_some(), "{message}, number {number}, was acknowledged and did not arrive");
            assert!(at > before.1, "{message}, number {number}, came before number {}", before.0);
            before = (*number, at);
        }
        format!("{} acknowledged, {summary}", sent[function].len())
    }

    /// Sees to it that each timer that was acknowledged has fired.
    pub fn check_timers(&self, function: &str, arrived: &[String]) -> String {
        let (first, summary) = self.first_arrivals(function, arrived);
        let timers = self.timers.lock().unwrap();
        let missing: Vec<_> = timers[function].iter().filter(|m| !first.contains_key(m.as_str())).collect();
        assert!(missing.is_empty(), "timers of {function} that did not fire: {missing:?}");
        format!("{} timers acknowledged, {summary}", timers[function].len())
    }

    /// When each message came first, and how many there were; each is one that was asked for.
    fn first_arrivals<'a>(&self, function: &str, arrived: &'a [String]) -> (HashMap<&'a str, usize>, String) {
        let mut first = HashMap::new();
        for (at, message) in arrived.iter().enumerate() {
            let number = message.strip_prefix(&format!("{function} ")).and_then(|n| n.parse().ok());
            assert!(number < Some(self.asked.load(Ordering::SeqCst)) && number.is_some(), "{message}");
            first.entry(message.as_str()).or_insert(at);
        }
        let summary = format!("{} delivered, {} of them again", arrived.len(), arrived.len() - first.len());
        (first, summary)
    }
}
