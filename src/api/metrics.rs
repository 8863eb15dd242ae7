//! `/metrics`: the counters of answers, health, loads and the process on one page.
//! It reads what others have counted; names of zones, steered names and targets are bounded in number.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};

use super::app::App;
use super::journal::{LoadOutcome, Loads};
use super::problem::Problem;
use super::process::Process;
use crate::certificate::DAY_S;
use crate::health::told;
use crate::keeper::{PROBE_KINDS, PROBE_OUTCOMES, Status, Tally};
use crate::metrics::TABLE;
use crate::metrics::text::{Format, Page};

/// Pools and targets that are told of one by one, each with a handful of series; of the others only the sums by state are told.
const MAX_ROWS: usize = 5_000;

/// States of targets, so that one that nobody is in shows as zero.
const TARGET_STATES: [&str; 5] = ["up", "degraded", "down", "suppressed", "unknown"];

/// `GET /metrics`.
pub(super) async fn get(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<([(header::HeaderName, &'static str); 1], String), Problem> {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = Format::accepted(accept);
    let text = app.wait_for(move |app| Ok(page(app, format, &app.health.status()?))).await?;
    Ok(([(header::CONTENT_TYPE, format.content_type())], text))
}

fn page(app: &App, format: Format, status: &Status) -> String {
    let mut page = Page::new(format);
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    page.gauge("meridian_build_info", "The version that runs").with(&version, 1);
    answers(app, &mut page);
    query_log(app, &mut page);
    regions(status, &mut page);
    capacities(status, &mut page);
    targets(status, &mut page);
    tally(&status.tally, &mut page);
    hosts(status, &mut page);
    loads(app, &app.journal.read(), status.generation, &mut page);
    process(&app.journal.read(), &mut page);
    page.finish()
}

/// All that workers count.
fn answers(app: &App, page: &mut Page) {
    let totals = app.registry.totals();
    for row in &TABLE {
        let mut series = page.counter(row.name, row.help);
        for sample in totals.samples(row) {
            let labels: Vec<_> = row.labels.iter().copied().zip(sample.labels).collect();
            series.with(&labels, sample.value);
        }
    }
    let mut series =
        page.counter("meridian_country_samples_total", "Steered answers over UDP by the country of the client, of one batch in 64");
    for (country, count) in totals.top_countries(usize::MAX) {
        series.with(&[("country", if country.is_empty() { "unknown" } else { country })], count);
    }
    page.histogram(
        "meridian_answer_seconds",
        "Time from a query in memory to its reply, the mean of a batch of UDP queries, of one batch in 64",
        1e9,
        [(&[][..], totals.latency())],
    );
    if totals.waits().count() > 0 {
        page.histogram(
            "meridian_udp_wait_seconds",
            "Time that the newest UDP query of a batch waited to be read, of one batch in 64; with `timestamps: true`",
            1e9,
            [(&[][..], totals.waits())],
        );
    }
}

fn query_log(app: &App, page: &mut Page) {
    let Some(taps) = &app.query_log else { return };
    page.counter("meridian_query_log_written_total", "Queries written to the query log").is(taps.written());
    page.counter("meridian_query_log_dropped_total", "Queries that the query log lost because its writer was behind").is(taps.dropped());
}

/// Services of regions, by family.
fn regions(status: &Status, page: &mut Page) {
    let shown = &status.pools[..status.pools.len().min(MAX_ROWS)];
    let mut all = |name: &str, help: &str, value: &dyn Fn(&crate::keeper::PoolRow) -> f64| {
        let mut series = page.gauge(name, help);
        for pool in shown {
            series.with(&[("service", &pool.service), ("region", &pool.region), ("family", &pool.family)], value(pool));
        }
    };
    all("meridian_region_up", "1 where a region serves a service, if only for some names; 0 where it serves none", &|pool| {
        f64::from(u8::from(pool.is("available") || pool.is("HELD") || pool.is_partial()))
    });
    all("meridian_region_partial", "1 where a region is not what it should be for some names only", &|pool| {
        f64::from(u8::from(pool.is_partial()))
    });
    all("meridian_region_drained", "1 where a region is forced down by hand", &|pool| f64::from(u8::from(pool.is("forced down"))));
    all("meridian_region_held", "1 where a region is measured down and served because the guard allows no further losses", &|pool| {
        f64::from(u8::from(pool.is("HELD")))
    });
    all("meridian_region_waits", "1 where a region is well again and waits for `meridian ctl clear`", &|pool| {
        f64::from(u8::from(pool.waits))
    });
    all("meridian_region_admit_ratio", "The part of its clients that a region takes just now", &|pool| {
        f64::from(pool.admit_percent) / 100.0
    });
    all("meridian_region_endpoints", "Endpoints of a region", &|pool| pool.endpoints as f64);
    all("meridian_region_endpoints_up", "Endpoints of a region that serve", &|pool| pool.up as f64);
    all("meridian_region_state_seconds", "How long a region has been in its state", &|pool| pool.since_s as f64);
    page.gauge("meridian_regions_not_shown", "Services of regions beyond the number that is shown one by one")
        .is(status.pools.len() - shown.len());
}

fn capacities(status: &Status, page: &mut Page) {
    let mut all = |name: &str, help: &str, value: &dyn Fn(&crate::keeper::CapacityRow) -> Option<f64>| {
        let mut series = page.gauge(name, help);
        for row in status.capacities.iter().take(MAX_ROWS) {
            value(row).into_iter().for_each(|value| series.with(&[("capacity", &row.region)], value));
        }
    };
    all("meridian_capacity_load", "The load of a region or of a service in it, in the unit of its capacity", &|row| {
        row.load.map(|(load, _)| load)
    });
    all("meridian_capacity_limit", "What a region bears at present before it sheds clients", &|row| Some(row.limit));
    all("meridian_capacity_shed_ratio", "The part of its clients that a region sheds", &|row| Some(row.shed_percent / 100.0));
}

/// What is probed.
fn targets(status: &Status, page: &mut Page) {
    let shown = &status.targets[..status.targets.len().min(MAX_ROWS)];
    let mut series = page.gauge("meridian_targets", "Probed targets, by judged state");
    for state in TARGET_STATES {
        series.with(&[("state", state)], status.targets.iter().filter(|target| target.state == state).count());
    }
    let mut series = page.gauge("meridian_target_up", "1 where a target is up or degraded, 0 where it is not");
    for target in shown {
        series.with(&[("target", &target.target)], u8::from(matches!(target.state.as_str(), "up" | "degraded")));
    }
    let mut series = page.gauge("meridian_target_probe_seconds", "How long the last probe of a target took");
    for target in shown {
        if let Some(took_ms) = target.took_ms {
            series.with(&[("target", &target.target)], f64::from(took_ms) / 1000.0);
        }
    }
    let mut series = page.gauge("meridian_target_flagged", "1 where the state of a target is not what was measured last, by why");
    for target in shown.iter().filter(|target| !target.flag.is_empty()) {
        series.with(&[("target", &target.target), ("reason", target.flag)], 1);
    }
    let mut series = page.gauge("meridian_target_certificate_days", "Days that the certificate of a target lasts (`tls` probes)");
    for target in shown {
        if let Some(days) = target.certificate_days {
            series.with(&[("target", &target.target)], days);
        }
    }
    page.gauge("meridian_targets_not_shown", "Targets beyond the number that is shown one by one").is(status.targets.len() - shown.len());
}

/// What happened to health since the start.
fn tally(tally: &Tally, page: &mut Page) {
    let mut series = page.counter("meridian_probes_total", "Probes, by kind and outcome");
    for (kind, outcomes) in PROBE_KINDS.iter().zip(&tally.probes) {
        for (outcome, count) in PROBE_OUTCOMES.iter().zip(outcomes).filter(|_| outcomes.iter().any(|count| *count > 0)) {
            series.with(&[("kind", kind), ("outcome", outcome)], count);
        }
    }
    let labels: Vec<_> = PROBE_KINDS.iter().map(|kind| [("kind", *kind)]).collect();
    let histograms = labels.iter().zip(&tally.probe_ms).filter(|(_, histogram)| histogram.count() > 0);
    page.histogram("meridian_probe_seconds", "How long probes took", 1e3, histograms.map(|(labels, histogram)| (&labels[..], histogram)));
    for (name, help, count) in [
        ("meridian_target_changes_total", "Changes of the judged state of targets", tally.target_changes),
        ("meridian_region_changes_total", "Changes of the state of services in regions", tally.region_changes),
        ("meridian_health_holds_total", "Targets whose state was held because our own network seemed to be out", tally.holds),
        ("meridian_health_suppressions_total", "Targets that were suppressed for flapping", tally.suppressions),
        ("meridian_shed_changes_total", "Steps in which a region began to shed another part of its clients", tally.shed_changes),
        ("meridian_overrides_forced_total", "Overrides that were put in force by hand", tally.forced),
    ] {
        page.counter(name, help).is(count);
    }
}

fn hosts(status: &Status, page: &mut Page) {
    page.gauge("meridian_overrides", "Overrides in force").is(status.overrides.len());
    let mut series = page.gauge("meridian_told", "What others tell of health and has not expired, by what they say");
    for state in told::State::ALL {
        series.with(&[("state", state.name())], status.told.iter().filter(|told| told.state == state).count());
    }
    let mut series = page.gauge("meridian_host_addresses", "Addresses of a host name of an endpoint");
    for host in status.hosts.iter().take(MAX_ROWS) {
        series.with(&[("host", &host.host)], host.addresses.len());
    }
}

/// What is in force, and what became of loads.
fn loads(app: &App, loads: &Loads, generation: u64, page: &mut Page) {
    let catalog = &app.world.load().catalog;
    page.gauge("meridian_generation", "Number of the world in force; each reload and each change of health makes a new one").is(generation);
    let mut series = page.counter("meridian_loads_total", "Loads of the configuration, the first included, by outcome");
    for (outcome, count) in LoadOutcome::ALL.iter().zip(loads.counts) {
        series.with(&[("outcome", outcome.name())], count);
    }
    let mut series = page.counter("meridian_watched_loads_total", "Those of them that a change of a watched file has asked for");
    for (outcome, count) in LoadOutcome::ALL.iter().zip(loads.watched_counts) {
        series.with(&[("outcome", outcome.name())], count);
    }
    if let Some((_, at_s)) = loads.watched {
        page.gauge("meridian_watched_load_timestamp_seconds", "When the last of those ended").is(at_s);
    }
    let is_good = loads.last.is_none_or(|(outcome, _)| outcome == LoadOutcome::Done);
    page.gauge("meridian_last_load_successful", "1 if the last load is in force").is(u8::from(is_good));
    page.gauge("meridian_load_timestamp_seconds", "When the configuration in force was loaded").is(loads.loaded_s);
    page.gauge("meridian_load_seconds", "How long that took").is(loads.took_ms as f64 / 1000.0);
    let mut series =
        page.gauge("meridian_certificate_days", "Days that a certificate of ours lasts: of the encrypted transports, of the API");
    for (path, not_after_s) in &loads.certificates {
        let left_s = not_after_s - app.clock.wall_s() as i64;
        series.with(&[("file", &path.display().to_string())], left_s.div_euclid(DAY_S));
    }
    page.gauge("meridian_zones", "Zones in force").is(catalog.zones.zones().len());
    page.gauge("meridian_steered_names", "Steered names in force").is(catalog.steerings.len());
    page.gauge("meridian_place_table_bytes", "Memory of the table of places").is(catalog.table.memory_bytes());
    let plans = catalog.distinct_plans();
    page.gauge("meridian_plans", "Plans: what steered names that are steered alike share").is(plans.len());
    page.gauge("meridian_plan_bytes", "Memory of the plans").is(plans.iter().map(|plan| plan.memory_bytes()).sum::<usize>());
    let files: Vec<(String, _)> = loads.geo.iter().map(|source| (source.path.display().to_string(), source)).collect();
    let mut series = page.gauge("meridian_geo_built_timestamp_seconds", "When a geo file was built, by its vendor or else by its date");
    for (file, source) in &files {
        if let Some(built_s) = source.built_s {
            series.with(&[("file", file)], built_s);
        }
    }
    let mut series = page.gauge("meridian_geo_networks", "Networks in a geo file");
    for (file, source) in &files {
        series.with(&[("file", file), ("family", "IPv4")], source.networks[0]);
        series.with(&[("file", file), ("family", "IPv6")], source.networks[1]);
    }
}

/// Named as the client libraries of Prometheus name them, so that common dashboards work.
fn process(loads: &Loads, page: &mut Page) {
    page.gauge("process_start_time_seconds", "When the process started").is(loads.started_s);
    let Some(process) = Process::read() else { return };
    page.counter("process_cpu_seconds_total", "Processor time").is(process.cpu_s);
    page.gauge("process_resident_memory_bytes", "Memory in use").is(process.resident);
    page.gauge("process_virtual_memory_bytes", "Address space in use").is(process.virtual_octets);
    page.gauge("process_threads", "Threads").is(process.threads);
    page.gauge("process_open_fds", "Open descriptors").is(process.descriptors);
    if let Some(max) = process.max_descriptors {
        page.gauge("process_max_fds", "How many descriptors may be open").is(max);
    }
}
