//! The output of a running experiment, for people and programs.

use fedwasm_protocol::{Metric, SecaggScheme};
use fedwasm_record::{RoundRecord, SecaggRecord};
use fedwasm_researcher::Event;
use serde_json::json;

use crate::columns::Columns;
use crate::commands::scores::brief;
use crate::printer::Printer;
use crate::progress::Bars;

/// Shows events, as lines and as bars.
pub(in crate::commands) struct View {
    pub(in crate::commands) printer: Printer,
    /// The metric that is shown first.
    pub(in crate::commands) metric: Option<Metric>,
    /// How many rounds there are to be.
    pub(in crate::commands) rounds: u32,
    pub(in crate::commands) bars: Bars,
}

impl View {
    pub(in crate::commands) fn show(&mut self, event: Event) {
        match &event {
            Event::Progress { node, steps, steps_max, loss, .. } => {
                self.bars.show(node, *steps, *steps_max, *loss);
            }
            Event::Round(_) | Event::Retry { .. } | Event::Waiting { .. } => self.bars.clear(),
            _ => {}
        }
        self.bars.suspend(|| self.write(event));
    }

    fn write(&self, event: Event) {
        let printer = &self.printer;
        match event {
            Event::Started { experiment_id, nodes, random_seed, rounds_done } => {
                let fields = json!({
                    "experiment": experiment_id, "nodes": nodes, "random_seed": random_seed,
                    "rounds_done": rounds_done,
                });
                printer.event("started", &fields);
                let nodes = nodes.iter().map(|(node, rows)| format!("{node} ({rows} rows)"));
                let nodes = nodes.collect::<Vec<_>>().join(", ");
                printer.line(format!("experiment {experiment_id}, seed {random_seed}"));
                printer.line(format!("nodes      {nodes}"));
                if rounds_done > 0 {
                    printer.line(format!("resumed    after round {rounds_done}"));
                }
                if rounds_done >= self.rounds {
                    printer.line("nothing to do: all `rounds` are done; raise `rounds` for more");
                }
            }
            Event::Dropped { node, round, reason } => {
                let fields = json!({ "node": node, "round": round, "reason": reason });
                printer.event("dropped", &fields);
                let what = if round == 0 { "left out" } else { "dropped" };
                printer.line(format!("{what:<10} {node}: {reason}"));
            }
            Event::Returned { node, round } => {
                printer.event("returned", &json!({ "node": node, "round": round }));
                printer.line(format!("returned   {node}"));
            }
            Event::Progress { node, round, steps, steps_max, loss, points } => {
                let points = points.iter().map(|p| json!([p.step, p.name, p.value]));
                let fields = json!({
                    "node": node, "round": round, "steps": steps, "steps_max": steps_max,
                    "loss": loss, "points": points.collect::<Vec<_>>(),
                });
                printer.event("progress", &fields);
            }
            Event::Warning(message) => {
                printer.event("warning", &json!({ "message": message }));
                printer.note(format!("warning: {message}"));
            }
            Event::Agreed { round, scheme, n_nodes, ms } => {
                self.show_agreed(round, scheme, n_nodes, ms);
            }
            Event::Retry { round, reason, left } => {
                let fields = json!({ "round": round, "reason": reason, "left": left });
                printer.event("retry", &fields);
                printer.line(format!("again      {reason}; {left} tries are left after this one"));
            }
            Event::Waiting { round, reason, left_s } => self.show_waiting(round, &reason, left_s),
            Event::Stopped { reason } => {
                printer.event("stopped", &json!({ "reason": reason }));
                printer.line(format!("stopped    {reason}"));
            }
            Event::Initial(record) => {
                let metrics = record.evaluation.map(|evaluation| evaluation.metrics);
                let metrics = metrics.unwrap_or_default();
                let fields = json!({
                    "metrics": metrics, "nodes": record.nodes, "secagg": record.secagg,
                });
                printer.event("initial", &fields);
                let scores = brief(&metrics, self.metric).join("  ");
                printer.line(Columns::new(2).left(0).left(0).line(&[self.nth(0), scores]));
            }
            Event::Round(record) => self.show_round(&record),
            _ => {}
        }
    }

    fn show_waiting(&self, round: u32, reason: &str, left_s: u64) {
        let fields = json!({ "round": round, "reason": reason, "left_s": left_s });
        self.printer.event("waiting", &fields);
        self.printer.line(format!("waiting    {reason}; for {left_s} s at most"));
    }

    fn show_agreed(&self, round: u32, scheme: SecaggScheme, n_nodes: usize, ms: f64) {
        let fields = json!({ "round": round, "scheme": scheme, "nodes": n_nodes, "ms": ms });
        self.printer.event("agreed", &fields);
        self.printer.line(format!("agreed     keys of {n_nodes} nodes ({scheme}), {ms:.1} ms"));
    }

    pub(in crate::commands) fn show_round(&self, record: &RoundRecord) {
        let metrics = record.evaluation.as_ref().map(|evaluation| &evaluation.metrics);
        let fields = json!({
            "round": record.round,
            "nodes": record.nodes.keys().collect::<Vec<_>>(),
            "dropped": record.dropped,
            // Those of single nodes are unknown under secure aggregation.
            "train_loss": record
                .nodes
                .iter()
                .filter(|_| record.secagg.is_none())
                .map(|(node, of_node)| (node.to_string(), json!(of_node.train_loss)))
                .collect::<serde_json::Map<_, _>>(),
            "metrics": metrics.cloned().unwrap_or_default(),
            "params_sha256": record.params_sha256,
            "timing": record.timing,
            "privacy": record.privacy,
            "secagg": record.secagg,
        });
        self.printer.event("round", &fields);
        let loss = record.train_loss().map(|loss| format!("training loss {loss:.4}"));
        let time = format!("{:.1} ms", record.timing.wall_ms);
        let text = loss
            .into_iter()
            .chain(metrics.into_iter().flat_map(|metrics| brief(metrics, self.metric)));
        let text = text.chain(record.secagg.as_ref().map(SecaggRecord::sentence));
        let row = [self.nth(record.round), time, text.collect::<Vec<_>>().join("  ")];
        self.printer.line(Columns::new(2).left(0).right(10).left(0).line(&row));
    }

    fn nth(&self, round: u32) -> String {
        format!("round {}/{}", Columns::new(0).right(3).line(&[round.to_string()]), self.rounds)
    }
}
