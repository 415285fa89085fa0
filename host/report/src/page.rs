//! `report.html`: a history as one page that needs nothing else, on a screen
//! and on paper. Equal histories give equal bytes. Nodes and plans wrote some
//! of its texts, so every text passes through [`escape`]; the page forbids
//! itself scripts all the same.

mod local;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use fedwasm_protocol::{Digest, Evaluation, NodeId};
use serde_json::Value;

use fedwasm_record::{Difference, History, NodeRecord, RoundRecord, RoundTiming};

/// The rounds that a page shows, and how many of them are the first ones:
/// readers want the beginning and the end, and no browser 10,000 rows.
const ROUNDS_MAX: usize = 200;
const FIRST_ROUNDS: usize = 20;

/// The most rows of the table of nodes.
const NODES_MAX: usize = 200;

/// The most metrics of a table; a reply may hold 128.
const METRICS_MAX: usize = 12;

/// The most dropped nodes of a round that are named, and the longest reason in
/// characters.
const DROPPED_MAX: usize = 10;
const REASON_CHARS_MAX: usize = 300;

/// Hexadecimal digits of a digest in a table; a tooltip has them all.
const DIGEST_CHARS: usize = 12;

/// The most arguments that are shown.
const ARGUMENTS_MAX: usize = 500;

/// Stands for what there is not.
const NONE: &str = "–";

/// What a page shows.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) history: &'a History,
    /// Such as `running`, `finished`, `failed: 1 node, at least 2 are needed`.
    pub(crate) status: &'a str,
    /// Headings with charts of `curve::draw`, which escapes what it is given.
    pub(crate) curves: Vec<(String, String)>,
}

/// Returns the page.
pub(crate) fn html(report: &Report<'_>) -> String {
    let history = report.history;
    let mut page = head(history) + &header(history, report.status);
    page += &match history.is_local() {
        true => local::summary(history),
        false => summary(history),
    };
    page += &curves(&report.curves);
    page += &arguments(history);
    page += &changes(history);
    if !history.rounds.is_empty() {
        page += &match history.is_local() {
            true => local::times(history),
            false => rounds(history) + &nodes(history) + &times(history),
        };
    }
    page + "<footer><p>Made by fedwasm; <code>history.json</code> holds the same and more.</p>\
            </footer>\n</main>\n</body>\n</html>\n"
}

/// What was asked for, a row a value.
fn arguments(history: &History) -> String {
    let mut rows = Vec::new();
    for (section, value) in &history.arguments {
        flatten(section, value, &mut rows);
    }
    if rows.is_empty() {
        return String::new();
    }
    let row = |(name, value): &(String, String)| {
        format!("<tr><td>{}</td><td>{}</td></tr>\n", escape(name), escape(value))
    };
    let rows: String = rows.iter().take(ARGUMENTS_MAX).map(row).collect();
    section("Arguments", "", &[Column::Text("Argument"), Column::Text("Value")], &rows)
}

/// What was changed between rounds.
fn changes(history: &History) -> String {
    let changes = history.changes.iter();
    let all = changes.flat_map(|change| change.differences.iter().map(|d| (change.round, d)));
    let row = |(round, Difference { name, a, b }): (u32, &Difference)| {
        let cells = [name, a, b].map(|text| format!("<td>{}</td>", escape(text)));
        format!("<tr>{}{}</tr>\n", number_cell(&round.to_string()), cells.concat())
    };
    let rows: String = all.take(ARGUMENTS_MAX).map(row).collect();
    if rows.is_empty() {
        return rows;
    }
    let columns = [
        Column::Number("From round"),
        Column::Text("Argument"),
        Column::Text("Before"),
        Column::Text("After"),
    ];
    section("Changes", "The arguments above are those of the newest round.", &columns, &rows)
}

/// Nested tables get dotted names; what was not given is left out.
fn flatten(name: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Object(table) => {
            for (key, value) in table {
                // Arguments of plans have their section in their name.
                let is_whole = key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
                let name = if is_whole { key.clone() } else { format!("{name}.{key}") };
                flatten(&name, value, rows);
            }
        }
        Value::String(text) => rows.push((name.to_owned(), text.clone())),
        value => rows.push((name.to_owned(), value.to_string())),
    }
}

/// Makes text safe between tags and in quoted attributes. Line breaks and tabs
/// become blanks; other control characters are dropped, and so are those that
/// would turn the direction of what follows them.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\r' | '\t' => out.push(' '),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

fn head(history: &History) -> String {
    // Should a text ever slip through unescaped, it stays without effect.
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{} – {}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<main>\n",
        escape(&history.name),
        kind(history).to_lowercase(),
    )
}

fn kind(history: &History) -> &'static str {
    if history.is_local() { "Local run report" } else { "Experiment report" }
}

fn header(history: &History, status: &str) -> String {
    let plan = &history.plan;
    let class = if status.starts_with("failed") { " class=\"bad\"" } else { "" };
    format!(
        "<header>\n<p class=\"kind\">{}</p>\n<h1>{}</h1>\n<dl class=\"facts\">\n\
         <dt>Status</dt><dd{class}>{}</dd>\n<dt>Training plan</dt><dd>{} {}</dd>\n\
         <dt>Plan SHA-256</dt><dd><code>{}</code></dd>\n\
         <dt>Random seed</dt><dd>{}</dd>\n</dl>\n</header>\n",
        kind(history),
        escape(&history.name),
        escape(status),
        escape(&plan.name),
        escape(&plan.version),
        plan.sha256,
        history.random_seed,
    )
}

fn summary(history: &History) -> String {
    let Some(last) = history.rounds.last() else {
        return "<p>No round is done yet.</p>\n".to_owned();
    };
    let wall_ms = sum(history, |timing| timing.wall_ms);
    let a_round = format!("{} a round", duration(wall_ms / history.rounds.len() as f64));
    let in_last = format!("{} in round {}", last.nodes.len(), last.round);
    let n_nodes = lives(history).values().filter(|life| life.n_rounds > 0).count();
    let mut tiles = tile("Rounds done", &history.rounds.len().to_string(), "")
        + &tile("Nodes", &n_nodes.to_string(), &in_last)
        + &tile("Time", &duration(wall_ms), &a_round);
    if let Some(loss) = last.train_loss() {
        tiles += &tile("Training loss", &number(loss), &before(history, RoundRecord::train_loss));
    }
    let held_out = last.evaluation.as_ref();
    for name in metrics(held_out).names {
        let value = |round: &RoundRecord| metric(round.evaluation.as_ref(), name);
        let label = format!("Held-out {name}");
        tiles += &tile(&label, &opt(value(last)), &before(history, value));
    }
    format!("<dl class=\"tiles\">\n{tiles}</dl>\n")
}

/// Says what a number was in the first round that has it, unless that is the
/// last round.
fn before(history: &History, value: impl Fn(&RoundRecord) -> Option<f64>) -> String {
    let (_, earlier) = history.rounds.split_last().unzip();
    let first = earlier.unwrap_or_default().iter().find_map(|r| Some((r.round, value(r)?)));
    first.map_or(String::new(), |(round, value)| format!("{} in round {round}", number(value)))
}

fn tile(label: &str, value: &str, note: &str) -> String {
    let (label, value, note) = (escape(label), escape(value), escape(note));
    let note = if note.is_empty() { note } else { format!("<dd class=\"note\">{note}</dd>") };
    format!("<div><dt>{label}</dt><dd>{value}</dd>{note}</div>\n")
}

fn curves(curves: &[(String, String)]) -> String {
    let mut figures = String::new();
    for (heading, svg) in curves {
        figures +=
            &format!("<figure class=\"curve\">\n<figcaption>{}</figcaption>\n", escape(heading));
        // `draw` escapes what would be a tag, but keeps control characters.
        figures.extend(svg.chars().filter(|c| !c.is_control() || *c == '\n'));
        figures += "</figure>\n";
    }
    match curves.is_empty() {
        true => figures,
        false => format!("<section>\n<h2>Curves</h2>\n{figures}</section>\n"),
    }
}

fn rounds(history: &History) -> String {
    let all = &history.rounds;
    let (first, hidden, last) = match all.len().checked_sub(ROUNDS_MAX) {
        None | Some(0) => (&all[..], &[][..], &[][..]),
        Some(n_hidden) => {
            let (first, rest) = all.split_at(FIRST_ROUNDS);
            let (hidden, last) = rest.split_at(n_hidden);
            (first, hidden, last)
        }
    };
    let chosen = metrics(first.iter().chain(last).filter_map(|round| round.evaluation.as_ref()));
    let mut notes = left_out(&chosen);
    let mut rows: String = first.iter().map(|round| round_row(round, &chosen)).collect();
    if let [from, ..] = hidden
        && let [.., to] = hidden
    {
        let text = format!("Rounds {} to {} are not shown", from.round, to.round);
        notes += &format!("{text}; <code>history.json</code> has them. ");
        let n_columns = 6 + chosen.names.len();
        rows += &format!("<tr class=\"hidden\"><td colspan=\"{n_columns}\">{text}</td></tr>\n");
        rows.extend(last.iter().map(|round| round_row(round, &chosen)));
    }
    let columns = [
        Column::Number("Round"),
        Column::Number("Nodes"),
        Column::Number("Wall ms"),
        Column::Number("Training loss"),
        Column::Group("Aggregated model, mean over nodes by rows", &chosen.names),
        Column::Text("Parameters"),
        Column::Text("Dropped"),
    ];
    notes += "Training loss: the mean over the nodes, weighted by their rows. Parameters: \
              SHA-256 of the aggregated ones.";
    section("Rounds", &notes, &columns, &rows)
}

fn round_row(round: &RoundRecord, chosen: &Chosen<'_>) -> String {
    let cells = [
        number_cell(&round.round.to_string()),
        number_cell(&round.nodes.len().to_string()),
        number_cell(&ms(round.timing.wall_ms)),
        number_cell(&opt(round.train_loss())),
        metric_cells(chosen, round.evaluation.as_ref()),
        format!("<td>{}</td>", short(&round.params_sha256)),
        format!("<td class=\"reasons\">{}</td>", dropped(&round.dropped)),
    ];
    format!("<tr>{}</tr>\n", cells.concat())
}

fn dropped(dropped: &BTreeMap<NodeId, String>) -> String {
    let line = |(node, reason): (&NodeId, &String)| {
        let mut cut: String = reason.chars().take(REASON_CHARS_MAX).collect();
        if cut.len() < reason.len() {
            cut.push('…');
        }
        format!("<li><b>{}</b>: {}</li>", escape(node.as_str()), escape(&cut))
    };
    let mut lines: String = dropped.iter().take(DROPPED_MAX).map(line).collect();
    if dropped.len() > DROPPED_MAX {
        lines += &format!("<li>and {} more</li>", dropped.len() - DROPPED_MAX);
    }
    if lines.is_empty() { lines } else { format!("<ul>{lines}</ul>") }
}

/// What a node did in all rounds.
#[derive(Debug, Default)]
struct Life<'a> {
    n_rounds: u64,
    n_dropped: u64,
    n_steps: u64,
    train_ms: f64,
    /// Of the last round that has one.
    last: Option<&'a NodeRecord>,
    train_loss: Option<f64>,
    own: Option<&'a Evaluation>,
    global: Option<&'a Evaluation>,
}

fn lives(history: &History) -> BTreeMap<&NodeId, Life<'_>> {
    let mut lives: BTreeMap<_, Life<'_>> = BTreeMap::new();
    for round in &history.rounds {
        for (node, record) in &round.nodes {
            let life = lives.entry(node).or_default();
            life.n_rounds += 1;
            life.n_steps = life.n_steps.saturating_add(record.n_steps);
            life.train_ms += record.timing.train_ms;
            life.last = Some(record);
            life.train_loss = record.train_loss.or(life.train_loss);
            life.own = record.evaluation.as_ref().or(life.own);
            life.global = record.global_evaluation.as_ref().or(life.global);
        }
        for (node, evaluation) in &round.scored {
            lives.entry(node).or_default().global = Some(evaluation);
        }
        for node in round.dropped.keys() {
            lives.entry(node).or_default().n_dropped += 1;
        }
    }
    lives
}

fn nodes(history: &History) -> String {
    let lives = lives(history);
    let row = |(node, life): (&&NodeId, &Life<'_>)| {
        let n_samples = life.last.map_or(NONE.to_owned(), |last| grouped(last.n_samples));
        let mean_ms = (life.n_rounds > 0).then(|| ms(life.train_ms / life.n_rounds as f64));
        let cells = [
            format!("<th scope=\"row\">{}</th>", escape(node.as_str())),
            number_cell(&life.n_rounds.to_string()),
            number_cell(&life.n_dropped.to_string()),
            number_cell(&n_samples),
            number_cell(&grouped(life.n_steps)),
            number_cell(mean_ms.as_deref().unwrap_or(NONE)),
            number_cell(&opt(life.train_loss)),
        ];
        format!("<tr>{}</tr>\n", cells.concat())
    };
    let rows: String = lives.iter().take(NODES_MAX).map(row).collect();
    let mut notes = further_nodes(&lives);
    notes += "Training rows and loss are those of the last round that has them.";
    let columns = [
        Column::Text("Node"),
        Column::Number("Rounds"),
        Column::Number("Dropped"),
        Column::Number("Training rows"),
        Column::Number("Steps in all"),
        Column::Number("Training ms a round"),
        Column::Number("Training loss"),
    ];
    section("Nodes", &notes, &columns, &rows) + &scores(&lives)
}

/// A node's own update above the aggregated model, to be compared.
fn scores(lives: &BTreeMap<&NodeId, Life<'_>>) -> String {
    let scored = lives.iter().take(NODES_MAX);
    let scored = scored.filter(|(_, life)| life.own.is_some() || life.global.is_some());
    let chosen =
        metrics(scored.clone().flat_map(|(_, life)| life.own.into_iter().chain(life.global)));
    let row = |(node, life): (&&NodeId, &Life<'_>)| {
        let models = [("own update", life.own), ("aggregated", life.global)];
        let models = models.into_iter().filter_map(|(model, scores)| Some((model, scores?)));
        let cells = |(model, scores): (&str, &Evaluation)| {
            let n_rows = number_cell(&grouped(scores.n_rows));
            format!("<td>{model}</td>{n_rows}{}", metric_cells(&chosen, Some(scores)))
        };
        let lines: Vec<String> = models.map(cells).collect();
        let (node, n, lines) = (escape(node.as_str()), lines.len(), lines.join("</tr>\n<tr>"));
        format!("<tr><th scope=\"rowgroup\" rowspan=\"{n}\">{node}</th>{lines}</tr>\n")
    };
    let rows: String = scored.map(row).collect();
    if rows.is_empty() {
        return rows;
    }
    let mut notes = further_nodes(lives) + &left_out(&chosen);
    notes += "Of the last round that has them, on the rows that each node holds out.";
    let mut columns = vec![Column::Text("Node"), Column::Text("Model"), Column::Number("Rows")];
    columns.extend(chosen.names.iter().map(|name| Column::Number(name)));
    section("Scores at the nodes", &notes, &columns, &rows)
}

fn further_nodes(lives: &BTreeMap<&NodeId, Life<'_>>) -> String {
    match lives.len().saturating_sub(NODES_MAX) {
        0 => String::new(),
        n => format!("{n} further nodes are not shown. "),
    }
}

fn times(history: &History) -> String {
    let parts = vec![
        ("Storing parameters, sending requests", sum(history, |timing| timing.send_ms)),
        ("Nodes: compiling the plan, reading data", sum(history, |timing| timing.prepare_ms)),
        ("Nodes: training", sum(history, |timing| timing.train_ms)),
        ("Nodes: uploading", sum(history, |timing| timing.upload_ms)),
        ("Fetching updates", sum(history, |timing| timing.download_ms)),
        ("Aggregating", sum(history, |timing| timing.aggregate_ms)),
        ("Scoring the aggregated model at the nodes", sum(history, |timing| timing.validate_ms)),
    ];
    let notes = "Sums over all rounds. Of what nodes do at the same time, the slowest node \
                 counts; such parts may overlap, so shares need not add up to 100 %.";
    time_table(history, parts, "Everything else, such as waiting for messages", notes)
}

/// Shares of the whole time; `rest` is what is in none of the parts.
fn time_table(
    history: &History,
    mut parts: Vec<(&str, f64)>,
    rest: &'static str,
    notes: &str,
) -> String {
    let wall_ms = sum(history, |timing| timing.wall_ms);
    let known_ms: f64 = parts.iter().map(|part| part.1).sum();
    parts.push((rest, wall_ms - known_ms));
    let row = |(name, part_ms): &(&str, f64)| {
        let share = (100.0 * part_ms / wall_ms).clamp(0.0, 100.0);
        // Drawn, not a background: printers leave those out.
        let bar = format!(
            "<svg class=\"bar\" viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" \
             aria-hidden=\"true\"><rect width=\"{share:.1}\" height=\"10\" fill=\"#0072b2\"/></svg>"
        );
        let cells = [
            format!("<th scope=\"row\">{}</th>", escape(name)),
            number_cell(&ms(*part_ms)),
            number_cell(&format!("{share:.1} %")),
            format!("<td class=\"wide\">{bar}</td>"),
        ];
        format!("<tr>{}</tr>\n", cells.concat())
    };
    let rows: String = parts.iter().filter(|part| part.1 > 0.0).map(row).collect();
    let columns = [
        Column::Text("Part"),
        Column::Number("ms in all"),
        Column::Number("Share"),
        Column::Text(""),
    ];
    section("Where time went", notes, &columns, &rows)
}

/// A column of a table, or several under one heading.
enum Column<'a> {
    Text(&'a str),
    Number(&'a str),
    Group(&'a str, &'a [&'a str]),
}

/// `notes` and `rows` are HTML.
fn section(heading: &str, notes: &str, columns: &[Column<'_>], rows: &str) -> String {
    let is_group = |c: &Column<'_>| matches!(c, Column::Group(_, names) if !names.is_empty());
    let has_groups = columns.iter().any(is_group);
    let span = if has_groups { " rowspan=\"2\"" } else { "" };
    let (mut first, mut second) = (String::new(), String::new());
    for column in columns {
        match column {
            Column::Text(name) => first += &heading_cell(span, name),
            Column::Number(name) => first += &heading_cell(&format!("{span} class=\"n\""), name),
            Column::Group(_, []) => {}
            Column::Group(name, names) => {
                let (name, n) = (escape(name), names.len());
                first +=
                    &format!("<th scope=\"colgroup\" class=\"group\" colspan=\"{n}\">{name}</th>");
                second.extend(names.iter().map(|name| heading_cell(" class=\"n\"", name)));
            }
        }
    }
    if has_groups {
        first += &format!("</tr>\n<tr>{second}");
    }
    format!(
        "<section>\n<h2>{heading}</h2>\n<p class=\"note\">{notes}</p>\n\
         <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{heading}\">\n\
         <table>\n<thead>\n<tr>{first}</tr>\n</thead>\n<tbody>\n{rows}</tbody>\n</table>\n\
         </div>\n</section>\n"
    )
}

/// Long names of metrics may break on paper.
fn heading_cell(attributes: &str, name: &str) -> String {
    format!("<th scope=\"col\"{attributes}>{}</th>", escape(name).replace('_', "_<wbr>"))
}

fn number_cell(number: &str) -> String {
    format!("<td class=\"n\">{}</td>", escape(number))
}

fn metric_cells(chosen: &Chosen<'_>, evaluation: Option<&Evaluation>) -> String {
    chosen.names.iter().map(|name| number_cell(&opt(metric(evaluation, name)))).collect()
}

fn short(digest: &Digest) -> String {
    let digest = digest.to_string();
    format!("<code title=\"{digest}\">{}…</code>", &digest[..DIGEST_CHARS])
}

/// The metrics that have a column.
struct Chosen<'a> {
    names: Vec<&'a str>,
    n_left_out: usize,
}

/// Chooses those that most evaluations have, so that one node with odd names
/// does not crowd out the others; of equals the loss, then by name.
fn metrics<'a>(evaluations: impl IntoIterator<Item = &'a Evaluation>) -> Chosen<'a> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for name in evaluations.into_iter().flat_map(|evaluation| evaluation.metrics.keys()) {
        *counts.entry(name).or_default() += 1;
    }
    let mut names: Vec<&str> = counts.keys().copied().collect();
    names.sort_by_key(|name| (Reverse(counts[name]), *name != "loss"));
    let n_left_out = names.len().saturating_sub(METRICS_MAX);
    names.truncate(METRICS_MAX);
    Chosen { names, n_left_out }
}

fn left_out(chosen: &Chosen<'_>) -> String {
    match chosen.n_left_out {
        0 => String::new(),
        n => format!("{n} further metrics are not shown. "),
    }
}

fn metric(evaluation: Option<&Evaluation>, name: &str) -> Option<f64> {
    evaluation?.metrics.get(name).copied()
}

fn sum(history: &History, part: fn(&RoundTiming) -> f64) -> f64 {
    history.rounds.iter().map(|round| part(&round.timing)).sum()
}

fn opt(value: Option<f64>) -> String {
    value.map_or(NONE.to_owned(), number)
}

/// Four decimals, so that a column lines up; exponents where they would say
/// nothing.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0.0000".to_owned(),
        size if (1e-3..1e5).contains(&size) => format!("{value:.4}"),
        _ => format!("{value:.3e}"),
    }
}

/// Milliseconds with one decimal and commas.
fn ms(value: f64) -> String {
    // Past 30,000 years, or nonsense.
    if !(0.0..1e15).contains(&value) {
        return NONE.to_owned();
    }
    let tenths = (value * 10.0).round() as u64;
    format!("{}.{}", grouped(tenths / 10), tenths % 10)
}

/// A time as people say it.
fn duration(ms: f64) -> String {
    let s = (ms / 1e3).round() as u64;
    match s {
        _ if !ms.is_finite() => NONE.to_owned(),
        0 => format!("{ms:.0} ms"),
        1..60 => format!("{:.1} s", ms / 1e3),
        60..3_600 => format!("{} min {:02} s", s / 60, s % 60),
        _ => format!("{} h {:02} min", grouped(s / 3_600), s % 3_600 / 60),
    }
}

/// A count with commas.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Texts have a contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3). Charts come
/// with black and white of their own; in the dark these are turned.
const STYLE: &str = include_str!("report.css");

#[cfg(test)]
mod tests {
    use fedwasm_protocol::NodeTiming;

    use super::*;
    use crate::curve::{Line, draw};
    use fedwasm_record::PlanRecord;

    fn evaluation(metrics: &[(&str, f64)]) -> Option<Evaluation> {
        let metrics = metrics.iter().map(|(name, value)| ((*name).to_owned(), *value));
        Some(Evaluation { n_rows: 10, metrics: metrics.collect() })
    }

    fn node_record(train_loss: f64, n_samples: u64, metric: &str) -> NodeRecord {
        NodeRecord {
            upload: None,
            upload_aux: None,
            receipt: None,
            n_samples,
            n_steps: 4,
            train_loss: Some(train_loss),
            evaluation: evaluation(&[("loss", 0.5), (metric, 0.25)]),
            global_evaluation: evaluation(&[("loss", 0.4), (metric, 0.75)]),
            timing: NodeTiming { train_ms: 1_234.56, ..NodeTiming::default() },
            total_ms: 1_300.0,
            optimizer_args: [("lr".to_owned(), 0.1)].into(),
            device: "cpu".into(),
            warnings: Vec::new(),
        }
    }

    fn round_record(round: u32, metric: &str, reason: &str) -> RoundRecord {
        let record =
            |node: &str, n| (node.parse().unwrap(), node_record(1.0 / n as f64, n, metric));
        RoundRecord {
            round,
            timing: RoundTiming { wall_ms: 2_000.0, train_ms: 1_500.0, ..RoundTiming::default() },
            nodes: [record("site-1", 1), record("site-2", 2)].into(),
            dropped: [("site-3".parse().unwrap(), reason.to_owned())].into(),
            params_sha256: Digest::of(&round.to_le_bytes()),
            evaluation: evaluation(&[("loss", 0.4), (metric, f64::from(round))]),
            scored: [].into(),
        }
    }

    fn history(name: &str, rounds: Vec<RoundRecord>) -> History {
        let plan =
            PlanRecord { name: name.into(), version: "0.1.0".into(), sha256: Digest::of(b"plan") };
        History {
            name: name.into(),
            plan,
            random_seed: 7,
            written_by: "fedwasm 0".into(),
            experiment_id: "e".into(),
            arguments: [("training".to_owned(), serde_json::json!({"lr": 0.1, "a": {"b": [1]}}))]
                .into(),
            changes: Vec::new(),
            status: "running".into(),
            rounds_max: 9,
            initial_sha256: None,
            expected: [].into(),
            left_out: [].into(),
            frozen: Vec::new(),
            initial: None,
            rounds,
            steps: Vec::new(),
        }
    }

    #[test]
    fn what_changed_between_rounds_is_there_and_escaped() {
        let mut history = history("x", vec![round_record(1, "accuracy", "")]);
        assert!(!page(&history, "finished").contains("Changes"));
        let text = |text: &str| text.to_owned();
        history.changes = vec![fedwasm_record::ChangeRecord {
            round: 3,
            differences: vec![Difference {
                name: text("training.optimizer_args.lr"),
                a: text("0.1"),
                b: text("<b>"),
            }],
            before: [].into(),
        }];
        let page = page(&history, "finished");
        assert!(page.contains("<h2>Changes</h2>") && page.contains("From round"), "{page}");
        assert!(page.contains("<td>training.optimizer_args.lr</td><td>0.1</td><td>&lt;b&gt;</td>"));
    }

    #[test]
    fn local_run_is_no_federation() {
        let mut round = round_record(1, "accuracy", "");
        round.nodes.retain(|node, _| node.as_str() == "site-2");
        round.dropped.clear();
        let local = History { experiment_id: String::new(), ..history("local", vec![round]) };
        let page = page(&local, "finished");
        for text in [
            "<p class=\"kind\">Local run report</p>",
            "<dt>Steps</dt><dd>4</dd>",
            "<dt>Training rows</dt><dd>2</dd><dd class=\"note\">10 held out</dd>",
            "<dt>Training loss</dt><dd>0.5000</dd>",
            "<dt>Held-out accuracy</dt><dd>1.0000</dd>",
            "<th scope=\"row\">Training</th><td class=\"n\">1,500.0</td>",
        ] {
            assert!(page.contains(text), "{text}");
        }
        for text in ["Rounds", "Nodes", "node", "a round"] {
            assert!(!page.contains(text), "{text}");
        }
        tags(&page);
    }

    fn page(history: &History, status: &str) -> String {
        let lines = [Line { label: history.name.clone(), points: vec![(1.0, 2.0), (2.0, 1.0)] }];
        let svg = draw(&history.name, &history.name, "loss", &lines).unwrap();
        html(&Report { history, status, curves: vec![(history.name.clone(), svg)] })
    }

    /// Checks that each tag closes the one that was opened last, and returns
    /// the names of all.
    fn tags(page: &str) -> Vec<String> {
        let (mut open, mut all) = (Vec::new(), Vec::new());
        for tag in page.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').unwrap_or_else(|| panic!("no end: {tag}"));
            let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap();
            if tag.starts_with('/') {
                assert_eq!(open.pop().as_deref(), Some(name), "{tag}");
            } else if !tag.ends_with('/') && !["!doctype", "meta", "wbr"].contains(&name) {
                open.push(name.to_owned());
            }
            all.push(name.to_owned());
        }
        assert!(open.is_empty(), "{open:?}");
        all
    }

    #[test]
    fn escaped_text_has_no_markup_and_no_control_characters() {
        for (text, expected) in [
            ("plain ä 漢", "plain ä 漢"),
            ("<script>", "&lt;script&gt;"),
            ("\" onload='x' &amp;", "&quot; onload=&#39;x&#39; &amp;amp;"),
            ("a\u{0}b\u{1b}[2Jc\u{7f}\u{85}", "ab[2Jc"),
            ("a\nb\tc\rd", "a b c d"),
            ("\u{202e}evil\u{2069}", "evil"),
        ] {
            assert_eq!(escape(text), expected);
        }
    }

    #[test]
    fn markup_of_strangers_has_no_effect() {
        let evil = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>\u{0}";
        let plain = history("demo", vec![round_record(1, "accuracy", "it is gone")]);
        let hostile = history(evil, vec![round_record(1, evil, evil)]);
        let (plain, hostile) = (page(&plain, "finished"), page(&hostile, evil));
        assert_eq!(tags(&hostile), tags(&plain));
        // Name, plan, status, curve, metrics and the refusal: all are there.
        assert!(hostile.matches("&lt;script&gt;alert(1)").count() > 8);
        assert!(!hostile.contains('\u{0}'));
    }

    #[test]
    fn all_rounds_and_nodes_are_there_and_tags_balance() {
        let rounds = (1..=200).map(|round| round_record(round, "accuracy", "it is gone"));
        let history = history("demo", rounds.collect());
        let page = page(&history, "finished");
        for round in &history.rounds {
            let row = format!("<tr><td class=\"n\">{}</td><td class=\"n\">2</td>", round.round);
            assert_eq!(page.matches(&row).count(), 1, "{row}");
            assert!(page.contains(&format!("title=\"{}\"", round.params_sha256)));
        }
        for text in [
            "<b>site-3</b>: it is gone",
            "<th scope=\"row\">site-1</th><td class=\"n\">200</td><td class=\"n\">0</td>",
            "<th scope=\"row\">site-3</th><td class=\"n\">0</td><td class=\"n\">200</td>",
            // (1 · 1 + 2 · 0.5) / 3
            "<td class=\"n\">2,000.0</td><td class=\"n\">0.6667</td>",
            "<td class=\"n\">300,000.0</td><td class=\"n\">75.0 %</td>",
            "<dt>Held-out accuracy</dt><dd>200.0000</dd><dd class=\"note\">1.0000 in round 1</dd>",
        ] {
            assert!(page.contains(text), "{text}");
        }
        assert!(!page.contains("not shown"));
        tags(&page);
    }

    #[test]
    fn one_round_too_many_hides_one_and_says_so() {
        let rounds = (1..=201).map(|round| round_record(round, "accuracy", "it is gone"));
        let page = page(&history("demo", rounds.collect()), "running");
        assert_eq!(page.matches("Rounds 21 to 21 are not shown").count(), 2);
        assert_eq!(page.matches("it is gone").count(), ROUNDS_MAX);
        assert!(!page.contains("<tr><td class=\"n\">21</td>"));
        tags(&page);
    }

    #[test]
    fn empty_history_is_a_page() {
        let page = html(&Report { history: &history("", vec![]), status: "", curves: vec![] });
        assert!(page.contains("No round is done yet"));
        tags(&page);
    }

    #[test]
    fn round_without_nodes_and_odd_numbers_is_a_page() {
        let mut round = round_record(1, "accuracy", "");
        round.nodes.clear();
        round.evaluation = None;
        round.timing.wall_ms = f64::NAN;
        round.timing.train_ms = f64::INFINITY;
        let page = page(&history("demo", vec![round]), "failed: no node is left");
        assert!(page.contains("<dd class=\"bad\">failed: no node is left</dd>"));
        tags(&page);
    }

    #[test]
    fn metrics_that_most_nodes_have_come_first() {
        let odd: Vec<String> = (0..127).map(|index| format!("a{index}")).collect();
        let mut odd: Vec<_> = odd.iter().map(|name| (name.as_str(), 1.0)).collect();
        odd.push(("loss", 1.0));
        let usual = evaluation(&[("accuracy", 1.0), ("loss", 1.0)]);
        let all = [evaluation(&odd), usual.clone(), usual];
        let chosen = metrics(all.iter().flatten());
        assert_eq!(chosen.names[..3], ["loss", "accuracy", "a0"]);
        assert_eq!((chosen.names.len(), chosen.n_left_out), (METRICS_MAX, 129 - METRICS_MAX));
    }

    #[test]
    fn many_dropped_nodes_and_long_reasons_are_cut() {
        let node = |index| format!("n{index}").parse().unwrap();
        let all: BTreeMap<NodeId, String> =
            (0..=DROPPED_MAX).map(|index| (node(index), "ä".repeat(1_000))).collect();
        let lines = dropped(&all);
        assert_eq!(lines.matches('ä').count(), DROPPED_MAX * REASON_CHARS_MAX);
        assert!(lines.ends_with("…</li><li>and 1 more</li></ul>"), "{lines}");
    }

    #[test]
    fn dark_rules_are_for_the_colours_of_charts() {
        let history = history("demo", vec![round_record(1, "accuracy", "")]);
        let (page, dark) = (page(&history, ""), "prefers-color-scheme: dark");
        let (_, dark) = STYLE.split_once(dark).unwrap();
        let rules: Vec<&str> = dark.split(".curve svg [").skip(1).collect();
        assert_eq!(rules.len(), 6);
        for rule in rules {
            let colour = rule.split_once(']').unwrap().0.replace('\'', "\"");
            assert!(page.contains(&colour), "{colour}");
        }
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(0) + " " + &grouped(999) + " " + &grouped(1_234_567), "0 999 1,234,567");
        for (value, expected) in [
            (0.0, "0.0000"),
            (-0.5, "-0.5000"),
            (12_345.0, "12345.0000"),
            (1e-7, "1.000e-7"),
            (-0.0, "0.0000"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(number(value), expected);
        }
        for (value, expected) in
            [(0.04, "0.0"), (999.96, "1,000.0"), (1e300, NONE), (f64::NAN, NONE)]
        {
            assert_eq!(ms(value), expected);
        }
        for (value, expected) in [
            (43.4, "43 ms"),
            (1_234.0, "1.2 s"),
            (59_600.0, "1 min 00 s"),
            (3_725_000.0, "1 h 02 min"),
        ] {
            assert_eq!(duration(value), expected);
        }
    }
}
