//! The beginning of an experiment's page: the plan, how it went, the last
//! numbers.

use fedwasm_record::{History, PrivacyRecord, RoundRecord};
use maud::{Markup, html};

use super::metrics::{metric, metrics};
use super::nodes::lives;
use super::numbers::{duration, number, opt};
use super::shell::kind;
use super::times::sum;

pub(super) fn header(history: &History, status: &str) -> Markup {
    let plan = &history.plan;
    let class = status.starts_with("failed").then_some("bad");
    html! {
        header {
            p.kind { (kind(history)) }
            h1 { (history.name) }
            dl.facts {
                dt { "Status" } dd class=[class] { (status) }
                dt { "Training plan" } dd { (plan.name) " " (plan.version) }
                dt { "Plan SHA-256" } dd { code { (plan.sha256) } }
                dt { "Random seed" } dd { (history.random_seed) }
            }
        }
        "\n"
    }
}

pub(super) fn tiles(history: &History) -> Markup {
    let Some(last) = history.rounds.last() else {
        return html! { p { "No round is done yet." } "\n" };
    };
    let wall_ms = sum(history, |timing| timing.wall_ms);
    let a_round = format!("{} a round", duration(wall_ms / history.rounds.len() as f64));
    let in_last = format!("{} in round {}", last.nodes.len(), last.round);
    let n_nodes = lives(history).values().filter(|life| life.n_rounds > 0).count();
    let held_out = last.evaluation.as_ref();
    let score = |name: &str| {
        let value = |round: &RoundRecord| metric(round.evaluation.as_ref(), name);
        tile(&format!("Held-out {name}"), &opt(value(last)), &before(history, value))
    };
    let n_rounds = history.rounds.len();
    let of = match n_rounds < history.rounds_max as usize {
        true => format!("of {}", history.rounds_max),
        false => String::new(),
    };
    html! {
        dl.tiles {
            (tile("Rounds done", &n_rounds.to_string(), &of))
            (tile("Nodes", &n_nodes.to_string(), &in_last))
            (tile("Time", &duration(wall_ms), &a_round))
            @if let Some(loss) = last.train_loss() {
                (tile("Training loss", &number(loss), &before(history, RoundRecord::train_loss)))
            }
            @if let Some(best) = &history.best {
                (tile("Kept round", &best.at.to_string(), &format!("best {} {}", best.metric, number(best.value))))
            }
            @for name in metrics(held_out).names { (score(name)) }
            @if let Some(sum) = &last.secagg {
                (tile("Secure aggregation", sum.scheme.name(), &format!("sum of {} nodes", sum.sum_of.len())))
            }
            @if let Some(PrivacyRecord { epsilon, delta, noise_multiplier, .. }) = &last.privacy {
                (tile("Epsilon", &number(*epsilon), &format!("delta {delta:e}, noise {noise_multiplier}")))
            }
        }
        "\n"
    }
}

/// Shows a number in the first round that has it, unless that is the
/// last round.
fn before(history: &History, value: impl Fn(&RoundRecord) -> Option<f64>) -> String {
    let (_, earlier) = history.rounds.split_last().unzip();
    let first = earlier.unwrap_or_default().iter().find_map(|r| Some((r.round, value(r)?)));
    first.map_or(String::new(), |(round, value)| format!("{} in round {round}", number(value)))
}

pub(super) fn tile(label: &str, value: &str, note: &str) -> Markup {
    html! {
        div {
            dt { (label) }
            dd { (value) }
            @if !note.is_empty() { dd.note { (note) } }
        }
        "\n"
    }
}
