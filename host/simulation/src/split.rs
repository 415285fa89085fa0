//! Rules by which the rows of one file are dealt to nodes, and how each is written.

use std::fmt;
use std::str::FromStr;

/// The most shards of a node.
const SHARDS_MAX: usize = 1_000;

/// How the rows of one file are dealt to nodes.
#[derive(Clone, Debug, PartialEq)]
pub enum Split {
    /// A permutation in pieces of equal length.
    Iid,
    /// Of each class, shares that are drawn from a symmetric Dirichlet distribution (Hsu, Qi and Brown
    /// 2019).
    Dirichlet {
        /// Above 0: the smaller, the more classes differ between nodes.
        alpha: f64,
    },
    /// A node for each value of a column, such as the hospital.
    By {
        /// The column.
        column: String,
    },
    /// So many pieces for each node of the rows in the order of their classes (McMahan et al. 2017,
    /// section 3).
    Shards {
        /// Of a node, at least 1.
        per_node: usize,
    },
    /// A permutation in pieces of these lengths; rows may be left over.
    Sizes {
        /// Each at least 1.
        rows: Vec<usize>,
    },
}

impl FromStr for Split {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let value = value.trim();
        match name.trim() {
            "iid" if value.is_empty() => Ok(Self::Iid),
            "dirichlet" => {
                let alpha = value.parse::<f64>().ok();
                let alpha = alpha.filter(|alpha| (1e-9..=1e9).contains(alpha));
                let rule = || format!("`{value}` is not a number from 1e-9 to 1e9");
                Ok(Self::Dirichlet { alpha: alpha.ok_or_else(rule)? })
            }
            "by" if !value.is_empty() => Ok(Self::By { column: value.to_owned() }),
            "shards" => {
                let shards = value.parse().ok().filter(|n| (1..=SHARDS_MAX).contains(n));
                let rule = || format!("`{value}` is not a whole number from 1 to {SHARDS_MAX}");
                Ok(Self::Shards { per_node: shards.ok_or_else(rule)? })
            }
            "sizes" => {
                let size = |size: &str| {
                    let rows = size.trim().parse::<usize>().ok().filter(|rows| *rows > 0);
                    rows.ok_or_else(|| format!("`{size}` is not a number of rows, at least 1"))
                };
                Ok(Self::Sizes { rows: value.split(',').map(size).collect::<Result<_, _>>()? })
            }
            _ => {
                let rules =
                    "iid, dirichlet=ALPHA, by=COLUMN, shards=PER_NODE or sizes=ROWS,ROWS,...";
                Err(format!("`{text}` is not a rule; write {rules}"))
            }
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Iid => write!(f, "iid"),
            Self::Dirichlet { alpha } => write!(f, "dirichlet={alpha}"),
            Self::By { column } => write!(f, "by={column}"),
            Self::Shards { per_node } => write!(f, "shards={per_node}"),
            Self::Sizes { rows } => {
                let rows: Vec<String> = rows.iter().map(usize::to_string).collect();
                write!(f, "sizes={}", rows.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_written_as_it_is_read() {
        for text in ["iid", "dirichlet=0.5", "by=hospital", "shards=2", "sizes=100,7,1"] {
            assert_eq!(text.parse::<Split>().unwrap().to_string(), text);
        }
        for (text, why) in [
            ("dirichlet=0", "is not a number from"),
            ("dirichlet", "is not a number from"),
            ("dirichlet=NaN", "is not a number from"),
            ("shards=0", "is not a whole number"),
            ("sizes=", "is not a number of rows"),
            ("sizes=3,0", "`0` is not a number of rows"),
            ("by=", "is not a rule"),
            ("iid=3", "is not a rule"),
            ("uniform", "`uniform` is not a rule; write iid,"),
        ] {
            let error = text.parse::<Split>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
