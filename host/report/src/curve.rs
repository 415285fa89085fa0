//! Learning curves as SVG.

use fedwasm_protocol::printable;
use plotters::prelude::*;

use crate::Error;

const SIZE: (u32, u32) = (720, 420);

/// Colours that colour-blind readers can tell apart (Okabe and Ito 2008),
/// without the yellow that white swallows.
const COLOURS: [(u8, u8, u8); 7] = [
    (213, 94, 0),
    (0, 114, 178),
    (0, 158, 115),
    (204, 121, 167),
    (86, 180, 233),
    (230, 159, 0),
    (0, 0, 0),
];

/// More lines than colours would say nothing.
pub(crate) const LINES_MAX: usize = COLOURS.len();

/// The colour behind the others: neither white nor black, so that it shows on both.
const BEHIND: RGBColor = RGBColor(170, 170, 170);

/// A chart as SVG. `draw` alone makes one, so that its elements and attributes are those of the
/// plotter, regardless of the texts in it.
#[derive(Debug)]
pub(crate) struct Chart(String);

impl Chart {
    pub(crate) fn as_svg(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_svg(self) -> String {
        self.0
    }
}

/// A line of a chart. It has a gap where a value is not a number.
pub(crate) struct Line {
    pub(crate) label: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Draws lines over `x_label`. Lines without points are left out.
pub(crate) fn draw(
    title: &str,
    x_label: &str,
    y_label: &str,
    lines: &[Line],
) -> Result<Chart, Error> {
    draw_over(title, x_label, y_label, None, lines)
}

/// The same, over a thin grey line.
pub(crate) fn draw_over(
    title: &str,
    x_label: &str,
    y_label: &str,
    behind: Option<&Line>,
    lines: &[Line],
) -> Result<Chart, Error> {
    let mut svg = String::new();
    let failed = |error: &dyn std::fmt::Display| Error::Curve { reason: error.to_string() };
    paint(&mut svg, title, [x_label, y_label], behind, lines).map_err(|error| failed(&error))?;
    Ok(Chart(svg))
}

/// The plotter escapes what would be markup, and leaves characters that no XML may hold, escaped
/// or not (XML 1.0, 2.2).
fn drawable(text: &str) -> String {
    printable(text).replace(['\u{fffe}', '\u{ffff}'], " ")
}

fn paint(
    svg: &mut String,
    title: &str,
    [x_label, y_label]: [&str; 2],
    behind: Option<&Line>,
    lines: &[Line],
) -> Result<(), Box<dyn std::error::Error>> {
    let is_shown = |line: &&Line| line.points.iter().any(|point| is_drawable(&point.1));
    let lines: Vec<&Line> = lines.iter().filter(is_shown).collect();
    let behind = behind.filter(|line| !line.points.is_empty());
    let points = || lines.iter().copied().chain(behind).flat_map(|line| &line.points);
    let (x, y) = (range(points().map(|point| point.0)), range(points().map(|point| point.1)));
    // Whole numbers only: between 2 and 3 there is no round.
    let n_labels = ((x.end - x.start) as usize + 1).clamp(2, 11);
    let shown = points().copied().filter(|point| is_drawable(&point.1));
    let corner = emptier_corner(shown, &x, &y);
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(drawable(title), ("sans-serif", 20))
        .margin(14)
        .x_label_area_size(46)
        .y_label_area_size(64)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(225, 225, 225))
        .x_desc(drawable(x_label))
        .y_desc(drawable(y_label))
        .x_labels(n_labels)
        .x_label_formatter(&|x| match (x - x.round()).abs() < 1e-9 {
            true => format!("{x:.0}"),
            false => String::new(),
        })
        .label_style(("sans-serif", 15))
        .draw()?;
    let legend = |color: RGBColor, width: u32| {
        move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(width))
    };
    if let Some(line) = behind {
        let points = line.points.iter().copied().filter(|point| is_drawable(&point.1));
        let series = LineSeries::new(points, BEHIND.stroke_width(1));
        chart.draw_series(series)?.label(drawable(&line.label)).legend(legend(BEHIND, 1));
    }
    for (index, line) in lines.iter().enumerate() {
        let (red, green, blue) = COLOURS[index % COLOURS.len()];
        let color = RGBColor(red, green, blue);
        let pieces = line.points.split(|point| !is_drawable(&point.1));
        for (nth, piece) in pieces.filter(|piece| !piece.is_empty()).enumerate() {
            let series = LineSeries::new(piece.iter().copied(), color.stroke_width(2));
            let series = chart.draw_series(series)?;
            if nth == 0 {
                series.label(drawable(&line.label)).legend(legend(color, 2));
            }
            // A line of few points shows them; one point alone would not show at all.
            if line.points.len() <= 50 || piece.len() == 1 {
                let dots = piece.iter().map(|point| Circle::new(*point, 3, color.filled()));
                chart.draw_series(dots)?;
            }
        }
    }
    chart
        .configure_series_labels()
        .position(corner)
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(200, 200, 200))
        .label_font(("sans-serif", 15))
        .draw()?;
    root.present()?;
    Ok(())
}

/// Where a legend hides fewer points, on the right.
fn emptier_corner(
    points: impl Iterator<Item = (f64, f64)>,
    x: &std::ops::Range<f64>,
    y: &std::ops::Range<f64>,
) -> SeriesLabelPosition {
    let (right, middle) = (x.start + (x.end - x.start) * 0.7, (y.start + y.end) / 2.0);
    let (above, below): (Vec<f64>, Vec<f64>) =
        points.filter(|point| point.0 > right).map(|point| point.1).partition(|y| *y > middle);
    match above.len() > below.len() {
        true => SeriesLabelPosition::LowerRight,
        false => SeriesLabelPosition::UpperRight,
    }
}

/// Whether a value is within what an axis can show; a plotter would look for
/// round numbers between infinities for ever.
fn is_drawable(value: &f64) -> bool {
    value.abs() < 1e30
}

/// A range with some air that is never empty.
fn range(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (low, high) = values
        .filter(is_drawable)
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if low > high {
        return 0.0..1.0;
    }
    let air = if high > low { (high - low) * 0.05 } else { 0.5 };
    // A share is never below 0 or above 1, and neither is its axis.
    let is_share = low >= 0.0 && high <= 1.0;
    if is_share && high > 0.0 {
        return (low - air).max(0.0)..(high + air).min(1.0);
    }
    low - air..high + air
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_gaps_where_nothing_is_known() {
        let lines = |y: f64| {
            let points = vec![(1.0, 0.1), (2.0, 0.2), (3.0, y), (4.0, 0.3), (5.0, 0.4)];
            let lines = [Line { label: "site-1".into(), points }];
            draw("t", "round", "loss", &lines).unwrap().into_svg()
        };
        let n = |svg: &str| svg.matches("stroke-width=\"2\"").count();
        assert_eq!(n(&lines(f64::NAN)), n(&lines(0.25)) + 1);
        assert_eq!(lines(f64::NAN).matches("site-1").count(), 1);
    }

    #[test]
    fn curve_holds_its_labels_and_survives_odd_points() {
        for points in [
            vec![],
            vec![(1.0, 0.5)],
            vec![(1.0, f64::NAN), (2.0, 3.0)],
            vec![(1.0, f64::MAX), (2.0, f64::MIN)],
        ] {
            let lines = [Line { label: "site-1".into(), points }];
            let svg = draw("t", "round", "loss", &lines).unwrap().into_svg();
            assert!(svg.starts_with("<svg") && svg.contains("round"), "{svg}");
        }
    }

    #[test]
    fn chart_is_xml_whatever_its_texts_hold() {
        let evil = "</text><script>\"'&\0\u{1b}[2J\u{7f}\u{202e}\u{ffff}\t\n";
        let points = vec![(1.0, 0.5), (2.0, 0.25)];
        let line = |label: &str| [Line { label: label.into(), points: points.clone() }];
        let hostile = draw_over(evil, evil, evil, Some(&line(evil)[0]), &line(evil)).unwrap();
        let plain = draw_over("a", "a", "a", Some(&line("a")[0]), &line("a")).unwrap();
        let n_tags = |chart: &Chart| chart.as_svg().matches('<').count();
        assert_eq!(n_tags(&hostile), n_tags(&plain));
        assert_eq!(hostile.as_svg().matches("&lt;/text&gt;&lt;script&gt;").count(), 5);
        let is_xml = |c: char| c == '\n' || !c.is_control() && c != '\u{ffff}' && c != '\u{202e}';
        assert!(hostile.as_svg().chars().all(is_xml), "{:?}", hostile.as_svg());
    }
}
