//! Progress of nodes as bars on a terminal; nothing elsewhere.

use std::collections::BTreeMap;

use fedwasm_protocol::NodeId;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// The most bars: more would fill a screen.
const BARS_MAX: usize = 16;

/// A bar for each node that is at work, on standard error.
#[derive(Debug, Default)]
pub(crate) struct Bars {
    all: MultiProgress,
    by_node: BTreeMap<NodeId, ProgressBar>,
}

impl Bars {
    /// Shows how far a node is.
    pub(crate) fn show(&mut self, node: &NodeId, steps: u64, steps_max: u64, loss: Option<f64>) {
        if self.by_node.len() >= BARS_MAX && !self.by_node.contains_key(node) {
            return;
        }
        let bar = self.by_node.entry(node.clone()).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new(steps_max)).with_prefix(node.to_string());
            bar.set_style(style());
            bar
        });
        bar.set_length(steps_max);
        bar.set_position(steps);
        if let Some(loss) = loss {
            bar.set_message(format!("loss {loss:.4}"));
        }
    }

    /// Writes lines while the bars are away.
    pub(crate) fn suspend(&self, write: impl FnOnce()) {
        self.all.suspend(write);
    }

    /// Takes the bars of a round away.
    pub(crate) fn clear(&mut self) {
        for bar in std::mem::take(&mut self.by_node).into_values() {
            bar.finish_and_clear();
        }
    }
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{prefix:>12} {bar:32} {pos}/{len} steps  {msg}");
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}
