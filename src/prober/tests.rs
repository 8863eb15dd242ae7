//! The prober against targets on loopback: the first round, schedules, reloads, and what is whose fault.
//! The tests wait for reports, never for time to pass.

use std::net::IpAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

use super::probe::judged;
use super::steps::Steps;
use super::*;
use crate::health::monitor::content::Content;
use crate::health::monitor::http::{HttpRequest, Method, StatusRanges};
use crate::health::monitor::tls::Tls;
use crate::health::{EndpointLayout, Evidence, HealthBook, Layout, Monitor, NodeId, Outcome, PoolLayout, Request, Verdict};

mod kinds;

const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
/// Far beyond anything that these tests wait for; reached only when they fail.
const PATIENCE: Duration = Duration::from_secs(20);

/// A target that is probed often.
fn often(port: u16, request: Request) -> TargetKey {
    Monitor { interval_ms: 200, timeout_ms: 190, fall: 2, rise: 2, ..Monitor::new(port, request) }.target(LOOPBACK)
}

/// A target that is probed once in the time of a test, and that may hang for the whole of it.
fn once(port: u16, request: Request) -> TargetKey {
    Monitor { interval_ms: 600_000, timeout_ms: 500_000, ..often(port, request).monitor.clone() }.target(LOOPBACK)
}

fn http(tls: Option<Tls>) -> Request {
    let status = StatusRanges::success_or_redirect();
    Request::Http(Box::new(HttpRequest {
        method: Method::Get,
        path: "/".into(),
        host: None,
        headers: Box::default(),
        status,
        content: Content::default(),
        tls,
    }))
}

/// An HTTP server that answers every connection, and its port; 0 asks for a free one.
async fn good_server(port: u16) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind((LOOPBACK, port)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            if stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            }
        }
    };
    (port, tokio::spawn(serve))
}

fn start(targets: &[TargetKey]) -> (Prober, UnboundedReceiver<(TargetKey, Report)>) {
    let (sender, receiver) = unbounded_channel();
    let reports = move |target, report| drop(sender.send((target, report)));
    (Prober::start(&Handle::current(), Clock::system(), 1, targets.iter().cloned(), reports), receiver)
}

async fn next(reports: &mut UnboundedReceiver<(TargetKey, Report)>) -> (TargetKey, Report) {
    tokio::time::timeout(PATIENCE, reports.recv()).await.expect("a report in time").expect("a prober")
}

#[test]
fn a_good_answer_may_be_slow_and_invert_turns_good_and_bad_around() {
    use Outcome::{Degraded, Failure, ProberFault, Success};
    let slow = Monitor { slow_ms: Some(500), ..Monitor::new(1, Request::Tcp) };
    let inverted = Monitor { invert: true, ..slow.clone() };
    for (outcome, took_ms, seen, turned) in [
        (Success, 499, Success, Failure),
        (Success, 500, Degraded, Failure),
        (Degraded, 1, Degraded, Failure),
        (Failure, 1, Failure, Success),
        (ProberFault, 900, ProberFault, ProberFault),
    ] {
        let judge = |monitor: &Monitor| judged(monitor, (outcome, Evidence::Connected), took_ms).0;
        assert_eq!((judge(&slow), judge(&inverted)), (seen, turned), "{outcome:?} {took_ms}");
    }
    let (_, evidence) = judged(&slow, (Success, Evidence::Status(200)), 812);
    assert_eq!(evidence.to_string(), "HTTP 200, slower than 500 ms");
}

#[tokio::test]
async fn a_tcp_probe_connects_or_is_refused() {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let socket = listener.local_addr().unwrap();
    assert_eq!(tcp::run(socket, PATIENCE, &mut Steps::off()).await, (Outcome::Success, Evidence::Connected));
    drop(listener);
    assert_eq!(tcp::run(socket, PATIENCE, &mut Steps::off()).await, (Outcome::Failure, Evidence::Refused));
}

#[tokio::test]
async fn h1_the_first_round_is_over_when_every_target_has_reported() {
    let (good, server) = good_server(0).await;
    let (mut prober, mut reports) = start(&[once(good, http(None)), once(good, Request::Tcp)]);
    assert!(prober.first_round().await);
    let seen = [next(&mut reports).await.1.outcome, next(&mut reports).await.1.outcome];
    assert_eq!(seen, [Outcome::Success; 2]);
    server.abort();
}

#[tokio::test]
async fn h1_the_first_round_is_bounded() {
    let silent = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let (prober, _reports) = start(&[often(port, http(None))]);
    assert_eq!(prober.first_round_ms, 190 + FIRST_ROUND_SLACK_MS);
    let (mut prober, _reports) = start(&[once(port, http(None))]);
    assert_eq!(prober.first_round_ms, MAX_FIRST_ROUND_MS);
    prober.first_round_ms = 1;
    assert!(!prober.first_round().await);
    let (mut prober, _reports) = start(&[]);
    assert!(prober.first_round().await, "nothing to wait for");
}

#[tokio::test]
async fn a_hanging_target_delays_no_other_and_times_out() {
    let (good, server) = good_server(0).await;
    let silent = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let (_prober, mut reports) = start(&[once(silent_port, http(None)), often(good, http(None))]);
    for _ in 0..3 {
        assert_eq!(next(&mut reports).await.0.socket.port(), good);
    }
    let (_prober, mut reports) = start(&[often(silent_port, http(None))]);
    assert_eq!(next(&mut reports).await.1.evidence, Evidence::Timeout);
    server.abort();
}

#[tokio::test]
async fn h2_equal_targets_are_probed_once() {
    let (port, server) = good_server(0).await;
    let (mut prober, mut reports) = start(&[once(port, http(None)), once(port, http(None)), once(port, http(None))]);
    assert_eq!(prober.target_count(), 1);
    assert!(prober.first_round().await);
    next(&mut reports).await;
    assert!(reports.try_recv().is_err(), "one report of the first round");
    server.abort();
}

#[tokio::test]
async fn r1_new_targets_start_old_ones_stop_and_unchanged_ones_go_on() {
    let (port, server) = good_server(0).await;
    let (kept, gone) = (often(port, http(None)), often(port, Request::Tcp));
    let new = often(port, http(Some(Tls { verify: false, ..Tls::verified(None) })));
    let (mut prober, mut reports) = start(&[kept.clone(), gone.clone()]);
    assert!(prober.first_round().await);
    let id = prober.tasks[&kept].abort.id();
    prober.set_targets([new.clone(), kept.clone(), new.clone()]);
    assert_eq!((prober.target_count(), prober.tasks[&kept].abort.id()), (2, id), "the task of an unchanged target is the same");
    while reports.try_recv().is_ok() {}
    let mut seen = Vec::new();
    while seen.iter().filter(|target| **target == new).count() < 3 {
        seen.push(next(&mut reports).await.0);
    }
    assert!(seen.contains(&kept) && !seen.contains(&gone), "{seen:?}");
    drop(prober);
    // The senders go with the tasks: the channel ends.
    while tokio::time::timeout(PATIENCE, reports.recv()).await.expect("an end in time").is_some() {}
    server.abort();
}

#[tokio::test]
async fn h5_a_probe_that_cannot_be_set_up_is_a_prober_fault_and_is_tried_again_at_the_next_reload() {
    // A name that no URL can hold: an address in disguise.
    let target = once(443, http(Some(Tls { verify: false, ..Tls::verified(Some("no.999".into())) })));
    let (mut prober, mut reports) = start(std::slice::from_ref(&target));
    let (_, report) = next(&mut reports).await;
    assert_eq!(report.outcome, Outcome::ProberFault);
    let id = prober.tasks[&target].abort.id();
    prober.set_targets([target.clone()]);
    assert_ne!(prober.tasks[&target].abort.id(), id);
}

#[tokio::test]
async fn a_server_that_dies_goes_down_in_the_book_and_comes_back() {
    let (port, server) = good_server(0).await;
    let target = often(port, http(None));
    let pool = PoolLayout { endpoints: 0..1, ..PoolLayout::default() };
    let endpoint = EndpointLayout::probed_by(Some(target.clone()));
    let mut book = HealthBook::new(Arc::new(Layout { pools: vec![pool], endpoints: vec![endpoint], ..Layout::default() }), 0);
    let (_prober, mut reports) = start(std::slice::from_ref(&target));
    let mut wait_for = async |wanted: Verdict| {
        while book.target(&target).is_some_and(|health| health.verdict != wanted) {
            let (target, report) = next(&mut reports).await;
            book.report(NodeId::LOCAL, &target, report, 0);
        }
    };
    wait_for(Verdict::Up).await;
    server.abort();
    let _ = server.await;
    wait_for(Verdict::Down).await;
    let (_, again) = good_server(port).await;
    wait_for(Verdict::Up).await;
    again.abort();
}
