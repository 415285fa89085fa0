//! Which classes the nodes of a simulation have, as a picture: a bar for each node.

use fedwasm_protocol::printable;
use plotters::prelude::*;

use crate::Error;

const SIZE: (u32, u32) = (960, 460);
/// The most bars that can be told apart: of more nodes, as many are drawn, evenly chosen.
const BARS_MAX: usize = 120;
/// The most classes in the legend.
const LEGEND_MAX: usize = 20;

/// Draws the rows of each class that every node has, as SVG.
///
/// * `classes` — their names.
/// * `nodes` — the name of each, and its rows of every class in their order.
///
/// # Errors
/// [`Error::Curve`] with the plotter's message.
pub fn partition_svg(
    title: &str,
    classes: &[String],
    nodes: &[(&str, &[u64])],
) -> Result<String, Error> {
    let mut svg = String::new();
    let drawn = paint(&mut svg, title, classes, nodes);
    drawn.map_err(|error| Error::Curve { reason: error.to_string() })?;
    Ok(svg)
}

fn paint(
    svg: &mut String,
    title: &str,
    classes: &[String],
    nodes: &[(&str, &[u64])],
) -> Result<(), Box<dyn std::error::Error>> {
    let n = nodes.len().min(BARS_MAX);
    let shown: Vec<&(&str, &[u64])> =
        (0..n).filter_map(|at| nodes.get(at * nodes.len() / n.max(1))).collect();
    let title = match n < nodes.len() {
        true => format!("{title}; {n} of them drawn"),
        false => title.to_owned(),
    };
    let most = shown.iter().map(|(_, counts)| counts.iter().sum::<u64>()).max().unwrap_or(0).max(1);
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (picture, legend) = root.split_horizontally(SIZE.0 - 120);
    let mut chart = ChartBuilder::on(&picture)
        .caption(printable(&title), ("sans-serif", 20))
        .margin(14)
        .x_label_area_size(46)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..n.max(1) as f64, 0.0..most as f64 * 1.02)?;
    let name = |x: &f64| match shown.get(*x as usize) {
        Some((node, _)) if x.fract() == 0.0 => printable(node),
        _ => String::new(),
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(225, 225, 225))
        .x_desc("node")
        .y_desc("rows by class")
        .x_labels(6)
        .x_label_formatter(&name)
        .y_label_formatter(&|y| format!("{y:.0}"))
        .label_style(("sans-serif", 15))
        .draw()?;
    for (at, (_, counts)) in shown.iter().enumerate() {
        let mut below = 0;
        for (class, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (x, y) = (at as f64, below as f64);
            below += count;
            let corners = [(x + 0.05, y), (x + 0.95, below as f64)];
            let bar = Rectangle::new(corners, colour(class, classes.len()).filled());
            chart.draw_series([bar])?;
        }
    }
    let text = ("sans-serif", 15).into_font().color(&BLACK);
    for (at, class) in classes.iter().take(LEGEND_MAX).enumerate() {
        let y = 40 + 20 * at as i32;
        let corners = [(4, y), (16, y + 12)];
        legend.draw(&Rectangle::new(corners, colour(at, classes.len()).filled()))?;
        legend.draw(&Text::new(printable(class), (24, y), text.clone()))?;
    }
    if classes.len() > LEGEND_MAX {
        let y = 40 + 20 * LEGEND_MAX as i32;
        let more = format!("and {} more", classes.len() - LEGEND_MAX);
        legend.draw(&Text::new(more, (4, y), text))?;
    }
    root.present()?;
    Ok(())
}

/// A colour of its own for each class, light and dark in turn so that neighbours differ in grey, too.
fn colour(class: usize, n: usize) -> HSLColor {
    let lightness = if class.is_multiple_of(2) { 0.42 } else { 0.65 };
    HSLColor(class as f64 / n.max(1) as f64, 0.6, lightness)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_of_each_node_is_a_bar_and_names_are_harmless() {
        let classes = ["0".to_owned(), "<b>".to_owned()];
        let nodes: [(&str, &[u64]); 3] = [("a", &[3, 1]), ("b", &[0, 5]), ("<script>", &[2, 0])];
        let svg = partition_svg("3 nodes, iid", &classes, &nodes).unwrap();
        // A background, four bars, two squares of the legend.
        assert_eq!(svg.matches("<rect").count(), 1 + 4 + 2, "{svg}");
        assert!(svg.contains("3 nodes, iid") && !svg.contains("<script>") && !svg.contains("<b>"));
    }

    #[test]
    fn of_many_nodes_some_are_drawn() {
        let names: Vec<String> = (0..1_000).map(|n| format!("n{n}")).collect();
        let nodes: Vec<(&str, &[u64])> = names.iter().map(|n| (n.as_str(), &[1][..])).collect();
        let svg = partition_svg("many", &["0".to_owned()], &nodes).unwrap();
        assert!(svg.contains("120 of them drawn"));
        assert_eq!(svg.matches("<rect").count(), 1 + 120 + 1);
        assert!(partition_svg("none", &[], &[]).is_ok());
    }
}
