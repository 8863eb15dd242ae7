//! Numbers as monitoring systems read them: the text format of Prometheus 0.0.4 and OpenMetrics 1.0, both from the same calls.
//! It keeps nothing between two scrapes and knows no metric by name.

use std::fmt::{Display, Write as _};

use super::Histogram;

/// The two formats; Prometheus asks for OpenMetrics, people and most others get the older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `text/plain; version=0.0.4`.
    Prometheus,
    /// `application/openmetrics-text; version=1.0.0`.
    OpenMetrics,
}

impl Format {
    /// What a scraper wants, by its `Accept` header.
    pub fn accepted(accept: &str) -> Format {
        if accept.contains("application/openmetrics-text") { Format::OpenMetrics } else { Format::Prometheus }
    }

    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Label names and values of one sample.
pub type Labels<'l> = &'l [(&'l str, &'l str)];

/// A page of metrics while it is written.
#[derive(Debug)]
pub struct Page {
    format: Format,
    text: String,
}

impl Page {
    /// An empty page.
    pub fn new(format: Format) -> Page {
        Page { format, text: String::new() }
    }

    /// A metric that only grows; `name` ends in `_total`.
    pub fn counter(&mut self, name: &str, help: &str) -> Series<'_> {
        // OpenMetrics names the family without the ending that its samples have.
        let family = if self.format == Format::OpenMetrics { name.trim_end_matches("_total") } else { name };
        self.head(family, "counter", help);
        self.series(name)
    }

    /// A metric that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str) -> Series<'_> {
        self.head(name, "gauge", help);
        self.series(name)
    }

    /// One histogram for each value of a label; `per_unit` of the histogram's unit are one of the metric's.
    pub fn histogram<'h>(
        &mut self,
        name: &str,
        help: &str,
        per_unit: f64,
        histograms: impl IntoIterator<Item = (Labels<'h>, &'h Histogram)>,
    ) {
        self.head(name, "histogram", help);
        for (labels, histogram) in histograms {
            let mut total = 0;
            let bounds = histogram.bounds.iter().map(|bound| (*bound as f64 / per_unit).to_string()).chain(["+Inf".to_owned()]);
            for (bound, count) in bounds.zip(&histogram.buckets) {
                total += count;
                let labels: Vec<_> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
                self.sample(&format!("{name}_bucket"), &labels, total);
            }
            self.sample(&format!("{name}_sum"), labels, histogram.sum as f64 / per_unit);
            self.sample(&format!("{name}_count"), labels, total);
        }
    }

    /// The whole text.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn series(&mut self, name: &str) -> Series<'_> {
        Series { name: name.to_owned(), page: self }
    }

    fn head(&mut self, family: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail, here and below.
        _ = writeln!(self.text, "# HELP {family} {}\n# TYPE {family} {kind}", help.replace('\\', "\\\\").replace('\n', "\\n"));
    }

    fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl Display) {
        self.text.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            _ = write!(self.text, "{}{label}=\"{escaped}\"", if index == 0 { "{" } else { "," });
        }
        _ = writeln!(self.text, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

/// The samples of one metric.
#[derive(Debug)]
pub struct Series<'p> {
    name: String,
    page: &'p mut Page,
}

impl Series<'_> {
    /// One sample without labels.
    pub fn is(self, value: impl Display) {
        self.page.sample(&self.name, &[], value);
    }

    /// One sample; an empty label value is left out, which means the same.
    pub fn with(&mut self, labels: Labels<'_>, value: impl Display) {
        let labels: Vec<_> = labels.iter().copied().filter(|(_, text)| !text.is_empty()).collect();
        self.page.sample(&self.name, &labels, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(format: Format) -> String {
        let mut page = Page::new(format);
        page.counter("a_total", "Back\\slash").with(&[("name", "q\"\\\n"), ("empty", "")], 3);
        page.gauge("b", "Two").is(0.5);
        let mut histogram = Histogram::new(&[10, 100]);
        [5, 10, 11, 1000].into_iter().for_each(|value| histogram.observe(value));
        page.histogram("c_seconds", "Three", 1000.0, [(&[("kind", "tcp")][..], &histogram)]);
        page.finish()
    }

    const COMMON: &str = "a_total{name=\"q\\\"\\\\\\n\"} 3\n# HELP b Two\n# TYPE b gauge\nb 0.5\n# HELP c_seconds Three\n# TYPE c_seconds histogram\n\
        c_seconds_bucket{kind=\"tcp\",le=\"0.01\"} 2\nc_seconds_bucket{kind=\"tcp\",le=\"0.1\"} 3\nc_seconds_bucket{kind=\"tcp\",le=\"+Inf\"} 4\n\
        c_seconds_sum{kind=\"tcp\"} 1.026\nc_seconds_count{kind=\"tcp\"} 4\n";

    #[test]
    fn both_formats_differ_in_the_names_of_counters_and_the_end() {
        assert_eq!(page(Format::Prometheus), format!("# HELP a_total Back\\\\slash\n# TYPE a_total counter\n{COMMON}"));
        assert_eq!(page(Format::OpenMetrics), format!("# HELP a Back\\\\slash\n# TYPE a counter\n{COMMON}# EOF\n"));
    }

    #[test]
    fn a_scraper_gets_the_format_that_it_asks_for() {
        assert_eq!(
            Format::accepted("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"),
            Format::OpenMetrics
        );
        assert_eq!(Format::accepted("*/*"), Format::Prometheus);
    }
}
