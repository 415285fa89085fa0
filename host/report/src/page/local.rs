//! The parts of a page that a local run has otherwise than an experiment: there
//! is one round at one place.

use fedwasm_record::History;
use maud::{Markup, html};

use super::metrics::{metric, metrics};
use super::numbers::{duration, grouped, number, opt};
use super::summary::tile;
use super::times::{sum, time_table};

/// Shows the result.
pub(super) fn tiles(history: &History) -> Markup {
    let Some(last) = history.rounds.last() else {
        return html! { p { "Nothing is trained yet." } "\n" };
    };
    let held_out = last.evaluation.as_ref();
    let n_held_out = grouped(held_out.map_or(0, |evaluation| evaluation.n_rows));
    let train_ms = sum(history, |timing| timing.train_ms);
    let wall_ms = sum(history, |timing| timing.wall_ms);
    html! {
        dl.tiles {
            @for node in last.nodes.values() {
                (tile("Steps", &grouped(node.n_steps), ""))
                (tile("Training rows", &grouped(node.n_samples), &format!("{n_held_out} held out")))
            }
            (tile("Time", &duration(wall_ms), &format!("{} of training", duration(train_ms))))
            @if let Some(loss) = last.train_loss() {
                (tile("Training loss", &number(loss), "mean over training"))
            }
            @if let Some(best) = &history.best {
                (tile("Kept epoch", &grouped(best.at), &format!("the best {}", best.metric)))
            }
            @for name in metrics(held_out).names {
                (tile(&format!("Held-out {name}"), &opt(metric(held_out, name)), ""))
            }
        }
        "\n"
    }
}

/// Shows the times.
pub(super) fn times(history: &History) -> Markup {
    let parts = vec![
        ("Compiling the plan, reading data", sum(history, |timing| timing.prepare_ms)),
        ("Training", sum(history, |timing| timing.train_ms)),
    ];
    time_table(history, parts, "Everything else, such as scoring", "")
}
