//! A comparison as a map of the world (SVG 1.1): regions, clients coloured by the region that answers them, arrows for those who move, if any.
//! It draws what was compared and knows no answers of its own; the land is a coarse outline that is compiled in.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::compare::{Comparison, Source};
use crate::snapshot::Region;

/// See the file for its source and licence.
const LAND: &str = include_str!("../../geodb/land.csv");

/// Units of the picture for one degree: 1080 by 540 with the legend below.
const SCALE: f64 = 3.0;

/// Clients are drawn in squares of so many degrees: a City database has 200,000 places, and an eye tells a few thousand apart.
const CELL_DEGREES: f64 = 2.0;

/// Arrows beyond the largest ones would hide the map.
const MAX_ARROWS: usize = 24;

/// Height of a line of the legend.
const LINE: f64 = 18.0;

/// Colours of regions, told apart by most eyes (Okabe and Ito 2008, and lighter ones of the same hues).
const COLOURS: [&str; 14] = [
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#6a3d9a", "#b15928", "#1b9e77", "#a6cee3", "#fdbf6f",
    "#b2df8a", "#cab2d6",
];

/// Clients without an answer.
const NOBODY: &str = "#e31a1c";

/// Clients of fallback addresses.
const FALLBACK: &str = "#666666";

/// The picture of a comparison, after the change; `regions` are all of the configuration.
pub fn draw(regions: &[Region], comparison: &Comparison, title: &str) -> String {
    let sources: Vec<&Source> = comparison.sources.keys().collect();
    let height = 180.0 * SCALE + LINE * (sources.len() as f64 + 2.5);
    let mut svg = String::new();
    // Writing to a String cannot fail.
    _ = writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="sans-serif" font-size="12">"#,
        width = 360.0 * SCALE
    );
    _ = writeln!(svg, "<title>{}</title>", escaped(&heading(comparison, title)));
    _ = writeln!(svg, r##"<rect width="100%" height="100%" fill="#f4f8fb"/>"##);
    svg += &land();
    svg += &clients(comparison, regions);
    svg += &arrows(comparison, regions);
    svg += &markers(comparison, regions);
    svg += &legend(comparison, regions, title);
    svg += "</svg>\n";
    svg
}

fn heading(comparison: &Comparison, title: &str) -> String {
    let names: Vec<String> = comparison.names.iter().map(ToString::to_string).collect();
    let more = if names.len() > 1 { format!(" and {} more", names.len() - 1) } else { String::new() };
    format!("{}{more}, {title}", names.first().map_or("", String::as_str))
}

/// Equirectangular: the picture of (latitude, longitude).
fn place((latitude, longitude): (f64, f64)) -> (f64, f64) {
    ((longitude + 180.0) * SCALE, (90.0 - latitude) * SCALE)
}

fn land() -> String {
    let mut path = String::new();
    for line in LAND.lines().filter(|line| !line.starts_with('#')) {
        let points = line.split(',').skip(1).filter_map(|point| {
            let (longitude, latitude) = point.trim().split_once(' ')?;
            Some(place((latitude.parse().ok()?, longitude.parse().ok()?)))
        });
        for (index, (x, y)) in points.enumerate() {
            _ = write!(path, "{}{x:.0} {y:.0}", if index == 0 { "M" } else { "L" });
        }
        path.push('Z');
    }
    format!("<path d=\"{path}\" fill=\"#dfe5e0\" stroke=\"#b8c2ba\" stroke-width=\"0.6\"/>\n")
}

fn colour(source: &Source, regions: &[Region]) -> &'static str {
    match source {
        Source::Region(name) => {
            let index = regions.iter().position(|region| region.name == *name).unwrap_or(0);
            COLOURS[index % COLOURS.len()]
        }
        Source::Fallback => FALLBACK,
        Source::Nobody => NOBODY,
    }
}

/// One circle for each square and source, by the share of the clients in its area.
fn clients(comparison: &Comparison, regions: &[Region]) -> String {
    let mut cells: BTreeMap<(i64, i64, &Source), f64> = BTreeMap::new();
    for dot in &comparison.dots {
        let cell = |degrees: f64| (degrees / CELL_DEGREES).floor() as i64;
        *cells.entry((cell(dot.at.0), cell(dot.at.1), &dot.source)).or_default() += dot.weight;
    }
    let middle = |cell: i64| (cell as f64 + 0.5) * CELL_DEGREES;
    let mut svg = String::from("<g fill-opacity=\"0.65\">\n");
    for ((latitude, longitude, source), weight) in cells {
        let (x, y) = place((middle(latitude), middle(longitude)));
        let radius = (comparison.percent(weight).sqrt() * 6.0).clamp(1.2, 40.0);
        _ = writeln!(svg, "<circle cx=\"{x:.0}\" cy=\"{y:.0}\" r=\"{radius:.1}\" fill=\"{}\"/>", colour(source, regions));
    }
    svg + "</g>\n"
}

fn location(source: &Source, regions: &[Region]) -> Option<(f64, f64)> {
    let Source::Region(name) = source else { return None };
    let region = regions.iter().find(|region| region.name == *name)?;
    Some(place((region.location.latitude(), region.location.longitude())))
}

/// From the region that has lost clients to the one that has them now, as wide as there are many.
fn arrows(comparison: &Comparison, regions: &[Region]) -> String {
    let mut moves: Vec<_> = comparison.moves.iter().collect();
    moves.sort_by(|(_, one), (_, other)| other.weight.total_cmp(&one.weight));
    let mut svg = String::from(
        "<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"12\" refY=\"4\" markerWidth=\"10\" markerHeight=\"10\" \
         markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0 0L8 4L0 8Z\" fill=\"#333\"/></marker></defs>\n",
    );
    for ((from, to), moved) in moves.into_iter().take(MAX_ARROWS) {
        let (Some((x1, y1)), Some((x2, y2))) = (location(from, regions), location(to, regions)) else { continue };
        let (cx, cy) = ((x1 + x2) / 2.0 - (y2 - y1) * 0.15, (y1 + y2) / 2.0 + (x2 - x1) * 0.15);
        let width = (comparison.percent(moved.weight).sqrt()).clamp(0.8, 8.0);
        let way = escaped(&format!("{from} to {to}: {:.2} %", comparison.percent(moved.weight)));
        _ = writeln!(
            svg,
            "<path d=\"M{x1:.0} {y1:.0}Q{cx:.0} {cy:.0} {x2:.0} {y2:.0}\" fill=\"none\" stroke=\"#333\" stroke-opacity=\"0.7\" \
             stroke-width=\"{width:.1}\" marker-end=\"url(#head)\"><title>{way}</title></path>"
        );
    }
    svg
}

/// A square for each region; one that has no clients any more is crossed out.
fn markers(comparison: &Comparison, regions: &[Region]) -> String {
    let mut svg = String::new();
    for region in regions {
        let source = Source::Region(region.name.clone());
        let change = comparison.sources.get(&source).copied().unwrap_or_default();
        let (x, y) = place((region.location.latitude(), region.location.longitude()));
        let lost = change.before > 0.0 && change.after == 0.0;
        _ = writeln!(
            svg,
            "<rect x=\"{:.0}\" y=\"{:.0}\" width=\"10\" height=\"10\" fill=\"{}\" stroke=\"{}\" stroke-width=\"1.5\"/>",
            x - 5.0,
            y - 5.0,
            colour(&source, regions),
            if lost { NOBODY } else { "#222" }
        );
        if lost {
            let (left, right, top, bottom) = (x - 8.0, x + 8.0, y - 8.0, y + 8.0);
            _ = writeln!(
                svg,
                "<path d=\"M{left:.0} {top:.0}L{right:.0} {bottom:.0}M{right:.0} {top:.0}L{left:.0} {bottom:.0}\" stroke=\"{NOBODY}\" stroke-width=\"3\"/>"
            );
        }
        _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" stroke=\"#fff\" stroke-width=\"3\" paint-order=\"stroke\">{}</text>",
            x + 9.0,
            y + 4.0,
            escaped(&region.name)
        );
    }
    svg
}

fn legend(comparison: &Comparison, regions: &[Region], title: &str) -> String {
    let top = 180.0 * SCALE + LINE;
    let mut svg = format!("<text x=\"12\" y=\"{top:.0}\" font-weight=\"bold\">{}</text>\n", escaped(&heading(comparison, title)));
    for (index, (source, change)) in comparison.sources.iter().enumerate() {
        let y = top + LINE * (index as f64 + 1.0);
        let (before, after) = (comparison.percent(change.before), comparison.percent(change.after));
        let share = if comparison.moves.is_empty() { format!("{after:.2} %") } else { format!("{before:.2} % before, {after:.2} % after") };
        _ = writeln!(
            svg,
            "<rect x=\"12\" y=\"{:.0}\" width=\"10\" height=\"10\" fill=\"{}\"/><text x=\"28\" y=\"{y:.0}\">{}: {share}</text>",
            y - 9.0,
            colour(source, regions),
            escaped(&source.to_string()),
        );
    }
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outline_is_a_ring_on_the_globe() {
        let rings: Vec<&str> = LAND.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(rings.len() > 20);
        for ring in rings {
            let points: Vec<(f64, f64)> = ring
                .split(',')
                .skip(1)
                .map(|point| point.split_once(' ').map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap())).unwrap())
                .collect();
            assert!(points.len() >= 3 && points.iter().all(|(x, y): &(f64, f64)| x.abs() <= 180.0 && y.abs() <= 90.0), "{ring}");
        }
    }

    #[test]
    fn text_cannot_leave_its_place() {
        assert_eq!(escaped("<a> & \"b\""), "&lt;a&gt; &amp; &quot;b&quot;");
    }
}
