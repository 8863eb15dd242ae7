//! The figures of a server in a round, and the table of their medians.
//! Ratios are taken within a round, between servers that ran one after the other, and only then is their median.

use std::fmt::Write as _;

use crate::load::Measured;
use crate::process::Running;
use crate::servers::Kind;
use crate::table::Workload;

/// All ratios are to this one.
const REFERENCE: Kind = Kind::Gdnsd;

/// A sender that had less of its core than this was not alone on the machine.
const ENOUGH: f64 = 0.95;

/// One server in one round.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) whole_us: f64,
    pub(crate) user_us: f64,
    pub(crate) kernel_us: f64,
    pub(crate) per_s: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) lost: u64,
    pub(crate) wrong: u64,
    pub(crate) ready_s: f64,
    pub(crate) memory_mib: f64,
    pub(crate) sender_share: f64,
}

impl Figures {
    pub(crate) fn new(measured: &Measured, server: &Running) -> Figures {
        let (counts, replies) = (&measured.counts, measured.counts.replies as f64);
        Figures {
            whole_us: measured.server.whole_us / replies,
            user_us: measured.server.user_us / replies,
            kernel_us: measured.server.kernel_us / replies,
            per_s: replies / measured.time.as_secs_f64(),
            p50_us: counts.latency.percentile_us(0.5),
            p99_us: counts.latency.percentile_us(0.99),
            lost: counts.lost,
            wrong: counts.wrong,
            ready_s: server.ready_s,
            memory_mib: server.memory_mib,
            sender_share: measured.sender_share,
        }
    }
}

/// What was measured of one kind of question: a server, and its figures by round.
pub(crate) type Rows = Vec<(Kind, Vec<(usize, Figures)>)>;

/// The table of one kind of question.
pub(crate) fn table(workload: Workload, rows: &Rows) -> String {
    let title = format!("{workload:?}").to_lowercase();
    let mut text = format!(
        "{title:9} {:>9} {:>6} {:>7} {:>9} {:>9} {:>9} {:>8} {:>8} {:>6} {:>6} {:>8} {:>7}\n",
        "CPU us/q", "user", "kernel", "to gdnsd", "q/CPU s", "q/s", "p50 us", "p99 us", "lost", "wrong", "ready s", "MiB"
    );
    let reference = rows.iter().find(|(kind, _)| *kind == REFERENCE).map(|(_, figures)| figures.as_slice()).unwrap_or_default();
    for (kind, rounds) in rows.iter().filter(|(_, rounds)| !rounds.is_empty()) {
        let middle = |of: fn(&Figures) -> f64| median(rounds.iter().map(|(_, figures)| of(figures)));
        let sum = |of: fn(&Figures) -> u64| rounds.iter().map(|(_, figures)| of(figures)).sum::<u64>();
        let ratio = ratio(rounds, reference).map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        let whole_us = middle(|figures| figures.whole_us);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:9} {whole_us:9.3} {:6.2} {:7.2} {ratio:>9} {:9.0} {:9.0} {:8.0} {:8.0} {:6} {:6} {:8.2} {:7.0}",
            name(workload, *kind),
            middle(|figures| figures.user_us),
            middle(|figures| figures.kernel_us),
            1e6 / whole_us,
            middle(|figures| figures.per_s),
            middle(|figures| figures.p50_us),
            middle(|figures| figures.p99_us),
            sum(|figures| figures.lost),
            sum(|figures| figures.wrong),
            middle(|figures| figures.ready_s),
            middle(|figures| figures.memory_mib),
        );
    }
    if workload.is_located() && rows.iter().any(|(kind, rounds)| !kind.server().located() && !rounds.is_empty()) {
        text.push_str("* knows no geography and answers all clients alike: a floor for the others\n");
    }
    let share = median(rows.iter().flat_map(|(_, rounds)| rounds.iter().map(|(_, figures)| figures.sender_share)));
    if share < ENOUGH {
        let _ = writeln!(text, "BUSY MACHINE: the sender had {:.0} % of its core, so figures are rough", share * 100.0);
    }
    text
}

/// A server's name, marked where it does less than the others.
fn name(workload: Workload, kind: Kind) -> String {
    let mark = if workload.is_located() && !kind.server().located() { "*" } else { "" };
    format!("{}{mark}", kind.name())
}

/// The median of the ratios within each round that both were measured in.
fn ratio(rounds: &[(usize, Figures)], reference: &[(usize, Figures)]) -> Option<f64> {
    let pair = |(round, figures): &(usize, Figures)| {
        let (_, beside) = reference.iter().find(|(other, _)| other == round)?;
        Some(figures.whole_us / beside.whole_us)
    };
    let ratios: Vec<f64> = rounds.iter().filter_map(pair).collect();
    (!ratios.is_empty()).then(|| median(ratios))
}

/// The middle one, or the mean of the two in the middle; 0 of none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    let (upper, lower) = (values.get(values.len() / 2), values.get(values.len().saturating_sub(1) / 2));
    upper.zip(lower).map_or(0.0, |(upper, lower)| (upper + lower) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(whole_us: f64) -> Figures {
        Figures {
            whole_us,
            user_us: whole_us / 4.0,
            kernel_us: whole_us * 0.75,
            per_s: 1e5,
            lost: 1,
            sender_share: 0.5,
            ..Figures::default()
        }
    }

    #[test]
    fn a_median_is_the_middle() {
        assert_eq!((median([3.0, 1.0, 2.0]), median([4.0, 1.0, 2.0, 3.0]), median([])), (2.0, 2.5, 0.0));
    }

    #[test]
    fn ratios_are_between_neighbours_of_a_round() {
        // The second round was twice as slow for both: no ratio of medians would be 0.9.
        let reference = [(0, figures(2.0)), (1, figures(4.0)), (2, figures(1.0))];
        let rounds = [(0, figures(1.8)), (1, figures(3.6))];
        assert!((ratio(&rounds, &reference).unwrap() - 0.9).abs() < 1e-9);
        assert_eq!(ratio(&rounds, &[]), None);
    }

    #[test]
    fn a_table_has_a_line_for_each_server_that_was_measured_and_says_when_it_is_rough() {
        let rows = vec![
            (Kind::Gdnsd, vec![(0, figures(2.0)), (1, figures(2.0))]),
            (Kind::Knot, vec![]),
            (Kind::Nsd, vec![(1, figures(1.0))]),
            (Kind::Meridian, vec![(0, figures(1.0)), (1, figures(3.0))]),
        ];
        let expected = "\
ecs        CPU us/q   user  kernel  to gdnsd   q/CPU s       q/s   p50 us   p99 us   lost  wrong  ready s     MiB
gdnsd         2.000   0.50    1.50      1.00    500000    100000        0        0      2      0     0.00       0
nsd*          1.000   0.25    0.75      0.50   1000000    100000        0        0      1      0     0.00       0
meridian      2.000   0.50    1.50      1.00    500000    100000        0        0      2      0     0.00       0
* knows no geography and answers all clients alike: a floor for the others
BUSY MACHINE: the sender had 50 % of its core, so figures are rough
";
        assert_eq!(table(Workload::Ecs, &rows), expected);
        assert!(!table(Workload::Static, &rows).contains('*'));
    }
}
