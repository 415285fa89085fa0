use fedwasm_record::ModelFile;
use serde_json::json;

use super::{card_html, card_markdown};

/// A model whose names come from a stranger.
fn about() -> ModelFile {
    let digest = "0".repeat(64);
    let about = json!({
        "format": 1,
        "written_by": "fedwasm",
        "plan": { "name": "mlp", "version": "1.0.0", "sha256": digest },
        "files": { "params.safetensors": { "sha256": digest, "bytes": 1 } },
        "strict": false,
        "model": { "model.n_classes": 2 },
        "data": { "target": "y|<script>alert(1)</script>", "inputs": ["a", "b_c"], "standardize": true },
        "evaluation": { "n_rows": 1234, "metrics": { "accuracy": 0.9375 } },
        "sites": {
            "north": {
                "n_samples": 5000,
                "evaluation": { "n_rows": 12, "metrics": { "accuracy": 0.5 } },
                "approved_by": "*any*\n# x"
            }
        },
        "run": {
            "name": "heart\u{202e} <b>", "experiment_id": "e1", "status": "stopped: enough",
            "rounds": 3, "random_seed": 7, "n_samples": 5000,
            "missing": { "south": "dropped" },
            "arguments": { "training": { "epochs": 2 }, "aggregator": "fedavg" }
        }
    });
    serde_json::from_value(about).unwrap()
}

#[test]
fn markdown_says_the_facts_and_escapes_texts() {
    let card = card_markdown(&about());
    for expected in [
        "# heart  \\<b\\>\n",
        "- **Rows trained on**: 5,000\n",
        "| Predicted | y\\|\\<script\\>alert(1)\\</script\\> |\n",
        "| accuracy | 0.9375 |\n",
        "On 1,234 rows that were held out",
        "| north | 5,000 | 12 | 0.5000 | \\*any\\* \\# x | – |\n",
        "The site south was to take part and is not in it: dropped.",
        "Each site scaled its inputs by its own rows.",
        "Its run did not come to its end: stopped: enough.",
        "| model.n\\_classes | 2 |\n",
        "| training.epochs | 2 |\n",
    ] {
        assert!(card.contains(expected), "{expected}\n{card}");
    }
    assert!(!card.contains('\u{202e}'));
}

#[test]
fn the_page_says_the_same_and_has_no_script() {
    let card = card_html(&about());
    for expected in
        ["heart", "5,000", "0.9375", "&lt;script&gt;", "Content-Security-Policy", "north"]
    {
        assert!(card.contains(expected), "{expected}\n{card}");
    }
    assert!(!card.contains("<script") && !card.contains('\u{202e}'), "{card}");
    assert_eq!(card, card_html(&about()));
}
