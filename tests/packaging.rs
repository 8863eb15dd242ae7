//! What is packaged beside the program: alerts and the dashboard speak of metrics that exist, and Prometheus takes the alerts.
//! The metrics are those of docs/operations.md, which the running server is held to elsewhere.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use common::daemon::find;
use common::skip_without;

/// Every word of a text that is the name of a metric of ours.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '_');
    let ours = words.filter(|word| word.starts_with("meridian_") && word.len() > "meridian_".len());
    ours.map(|word| word.trim_end_matches("_bucket").to_owned()).collect()
}

#[test]
fn alerts_and_dashboard_speak_of_documented_metrics_and_of_runbooks_that_exist() {
    let guide = fs::read_to_string("docs/operations.md").unwrap();
    let documented = metrics(&guide);
    for path in ["packaging/prometheus/alerts.yml", "packaging/grafana/meridian.json"] {
        let text = fs::read_to_string(path).unwrap();
        let unknown: Vec<_> = metrics(&text).difference(&documented).cloned().collect();
        assert!(unknown.is_empty(), "{path}: {unknown:?}");
        for anchor in text.split("docs/operations.md#").skip(1) {
            let anchor = anchor.split('"').next().unwrap();
            let is_there = guide
                .lines()
                .filter(|line| line.starts_with('#'))
                .any(|line| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-") == anchor);
            assert!(is_there, "{path}: there is no runbook {anchor}");
        }
    }
    let dashboard: serde_json::Value = serde_json::from_str(&fs::read_to_string("packaging/grafana/meridian.json").unwrap()).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 10);
}

#[test]
fn prometheus_takes_the_alerts_and_they_fire_when_they_should() {
    let Some(program) = find("promtool") else { return skip_without("promtool") };
    let read = |name: &str| fs::read_to_string(format!("packaging/prometheus/{name}")).unwrap();
    let (alerts, tests) = (read("alerts.yml"), read("alerts.test.yml"));
    for alert in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let named = format!("alertname: {alert}\n");
        let told: Vec<&str> = tests.split(named.as_str()).skip(1).map(|rest| rest.trim_start().lines().next().unwrap()).collect();
        assert!(
            told.contains(&"exp_alerts:") && told.contains(&"exp_alerts: []"),
            "{alert}: no test that it fires, or none that it does not"
        );
    }
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"]] {
        let output = Command::new(&program).args(arguments).current_dir("packaging/prometheus").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
}
