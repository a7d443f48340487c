//! One attempt: connects, serves the connection until it ends, and says how it ended. Knows nothing of back-off.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::message::{Message, Receipt};
use super::quarantine::Quarantine;
use super::session::{Broken, Parts, Session};
use super::subscriptions::Subscriptions;
use super::topics::Topics;
use super::{Connection, Links, Publish, Stop, options, reason};
use crate::config::Mqtt;

/// Messages held here while `inbound` is full. Past it nothing is read, so the broker feels it; if that lasts beyond
/// the keep-alive the broker ends the connection, and of what was not acknowledged only retained messages come again.
const WAITING: usize = 4;
/// How long a goodbye may take when the settings changed. The old broker may be gone.
const GOODBYE: Duration = Duration::from_secs(1);

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// By request, after the goodbye.
    Stopped,
    /// There are new settings to connect with.
    SettingsChanged,
    /// No connection came about.
    Failed { error: String },
    /// The connection ended after this time.
    Lost { error: String, lived: Duration },
}

/// What may come between at any time.
pub(super) struct Interrupts {
    pub(super) settings: watch::Receiver<Arc<Mqtt>>,
    pub(super) stop: Stop,
}

/// One of them came.
#[derive(Debug, Clone, Copy)]
pub(super) enum Interrupt {
    /// Stop by then.
    Stop(Instant),
    /// New settings.
    Settings,
}

impl Interrupts {
    /// Waits for one; can be dropped and called again without loss. An owner that is gone means: stop now.
    pub(super) async fn next(&mut self) -> Interrupt {
        tokio::select! {
            stop = self.stop.wait_for(Option::is_some) => {
                Interrupt::Stop(stop.ok().and_then(|until| *until).unwrap_or_else(Instant::now))
            }
            Ok(()) = self.settings.changed() => Interrupt::Settings,
        }
    }
}

impl From<Interrupt> for Ending {
    fn from(interrupt: Interrupt) -> Self {
        match interrupt {
            Interrupt::Stop(_) => Self::Stopped,
            Interrupt::Settings => Self::SettingsChanged,
        }
    }
}

/// Reports that come while nothing is connected are dropped: the reporter repeats them once it is.
pub(super) async fn discard(publish: &mut mpsc::Receiver<Publish>) {
    while publish.recv().await.is_some() {}
    std::future::pending().await
}

/// Connects with these settings and serves the connection to its end. Everything of rumqttc is made anew, so that no
/// packet id, half-sent packet or queue outlives a connection; dropping the event loop closes the socket.
pub(super) async fn attempt(
    links: &mut Links,
    topics: &Topics,
    settings: &Mqtt,
    quarantine: &mut Quarantine,
    interrupts: &mut Interrupts,
) -> Ending {
    let connected = tokio::select! {
        connected = connect(links, topics, settings) => connected,
        interrupt = interrupts.next() => return interrupt.into(),
    };
    let (client, eventloop) = match connected {
        Ok(connected) => connected,
        Err(error) => {
            links.counters.connect_failures.fetch_add(1, Relaxed);
            return Ending::Failed { error };
        }
    };
    let (since, number) = (Instant::now(), links.counters.connects.fetch_add(1, Relaxed) + 1);
    log::info!("mqtt: connected to {}", options::broker(settings));

    let (receipts_to, receipts) = mpsc::unbounded_channel();
    let (events_to, events) = mpsc::channel(1);
    let Links { inbound, publish, outbox, connection, counters, .. } = links;
    let parts = Parts {
        topics,
        subscriptions: Subscriptions::new(topics, quarantine, counters),
        counters,
        outbox,
        max_message_bytes: settings.max_message_bytes,
        receipts: receipts_to,
    };
    let session = match Session::start(client, parts) {
        Ok(session) => session,
        Err(error) => return Ending::Lost { error, lived: since.elapsed() },
    };
    let streams = Streams { events, receipts, publish, inbound, connection, number };
    // The event loop is never cancelled in mid-poll: that could lose a packet which it has counted as sent.
    let ended = tokio::select! {
        ended = serve(session, streams, interrupts) => ended,
        () = poll(eventloop, events_to) => Err("the event loop ended".to_owned()),
    };
    ended.unwrap_or_else(|error| Ending::Lost { error, lived: since.elapsed() })
}

/// Up to CONNACK.
async fn connect(
    links: &mut Links,
    topics: &Topics,
    settings: &Mqtt,
) -> Result<(AsyncClient, EventLoop), Broken> {
    let Links { node, publish, .. } = links;
    let connecting = async {
        let options = options::build(settings, node, topics).await.map_err(|error| error.to_string())?;
        let (client, mut eventloop) = AsyncClient::new(options, options::REQUESTS);
        eventloop.set_network_options(options::network());
        // The first event is CONNACK; any other outcome is an error.
        eventloop.poll().await.map_err(|error| reason::explain(&error))?;
        Ok((client, eventloop))
    };
    tokio::select! {
        connected = connecting => connected,
        () = discard(publish) => Err("the reports ended".to_owned()),
    }
}

/// Polls until the first error and hands everything on in order, the error last. Never returns while the session may
/// still be reading.
pub(super) async fn poll(mut eventloop: EventLoop, events: mpsc::Sender<Result<Event, ConnectionError>>) {
    loop {
        let event = eventloop.poll().await;
        let failed = event.is_err();
        if failed {
            // Packets read in one go before the broken one were taken in, but not yet given out.
            for event in std::mem::take(&mut eventloop.state.events) {
                if events.send(Ok(event)).await.is_err() {
                    return;
                }
            }
        }
        if events.send(event).await.is_err() {
            return;
        }
        if failed {
            // Polling once more would reconnect.
            return std::future::pending().await;
        }
    }
}

/// The ends of the channels that one connection reads and writes.
struct Streams<'a> {
    /// From the event loop.
    events: mpsc::Receiver<Result<Event, ConnectionError>>,
    /// From those who were handed messages of this connection.
    receipts: mpsc::UnboundedReceiver<Receipt>,
    /// From the reporter.
    publish: &'a mut mpsc::Receiver<Publish>,
    /// To the twin.
    inbound: &'a mpsc::Sender<Message>,
    /// To everyone who wants to know.
    connection: &'a watch::Sender<Connection>,
    /// Which connection this is, counted from 1.
    number: u64,
}

async fn serve(
    mut session: Session<'_>,
    mut streams: Streams<'_>,
    interrupts: &mut Interrupts,
) -> Result<Ending, Broken> {
    let outbox = session.outbox();
    let mut waiting: VecDeque<Message> = VecDeque::new();
    let mut goodbye: Option<(Instant, Interrupt)> = None;
    let mut announced = false;
    let mut reports_open = true;
    loop {
        if session.is_up() && !announced {
            announced = true;
            // Reports from before are stale; those that follow the announcement are not.
            while streams.publish.try_recv().is_ok() {}
            streams.connection.send_replace(Connection::Up { session: streams.number });
        }
        session.send_telemetry()?;
        let take_report = reports_open && (!session.is_up() || session.has_room_for_report());

        tokio::select! {
            event = streams.events.recv(), if waiting.len() < WAITING || goodbye.is_some() => match event {
                Some(Ok(event)) => waiting.extend(session.on_event(event)?),
                Some(Err(error)) => {
                    if reason::is_poison(&error) {
                        session.on_poison();
                    }
                    return goodbye.map_or_else(|| Err(reason::explain(&error)), |(_, why)| Ok(why.into()));
                }
                None => return Err("the event loop ended".to_owned()),
            },
            place = streams.inbound.reserve(), if !waiting.is_empty() => match (place, waiting.pop_front()) {
                (Ok(place), Some(message)) => place.send(message),
                // Nobody takes messages any more: the agent is stopping.
                _ => waiting.clear(),
            },
            Some(receipt) = streams.receipts.recv(), if session.has_room() => session.acknowledge(receipt)?,
            report = streams.publish.recv(), if take_report => match report {
                Some(report) if session.is_up() => session.send_report(report)?,
                Some(_) => {}
                None => reports_open = false,
            },
            () = outbox.changed() => {}
            () = until(session.wake_at()) => session.on_time()?,
            interrupt = interrupts.next(), if goodbye.is_none() => {
                let by = match interrupt {
                    Interrupt::Stop(by) => by,
                    Interrupt::Settings => Instant::now() + GOODBYE,
                };
                goodbye = Some((by, interrupt));
                session.say_goodbye()?;
            }
            () = until(goodbye.map(|(by, _)| by)) => {}
        }
        if let Some((by, why)) = goodbye
            && (session.said_goodbye() || by <= Instant::now())
        {
            return Ok(why.into());
        }
    }
}

/// Waits until then, or for ever.
async fn until(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then).await,
        None => std::future::pending().await,
    }
}
