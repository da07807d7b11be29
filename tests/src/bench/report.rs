//! Figures, as a table and as JSON.

use std::path::Path;

use serde_json::{Value, json};

use super::measure::Sample;

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// Nothing was promised for it yet.
    None,
    /// At most so many times rsync.
    Times(f64),
    /// At most this.
    AtMost(f64),
    /// Below this.
    Below(f64),
}

/// What was measured.
#[derive(Debug, Clone)]
pub enum Measured {
    /// Seconds, beside rsync's.
    Times {
        /// Ours.
        ours: Sample,
        /// rsync's.
        rsync: Sample,
    },
    /// Something else.
    Number {
        /// How much.
        value: f64,
        /// Of what.
        unit: &'static str,
    },
}

/// One figure.
#[derive(Debug, Clone)]
pub struct Figure {
    /// Stable name.
    pub id: &'static str,
    /// For people.
    pub what: String,
    /// Files in it.
    pub files: usize,
    /// Bytes in it.
    pub bytes: u64,
    /// What was measured.
    pub measured: Measured,
    /// What it should be.
    pub goal: Goal,
}

impl Figure {
    fn ratio(&self) -> Option<f64> {
        match &self.measured {
            Measured::Times { ours, rsync } if rsync.median() > 0.0 => {
                Some(ours.median() / rsync.median())
            }
            _ => None,
        }
    }

    fn unit(&self) -> &'static str {
        match &self.measured {
            Measured::Times { .. } => "s",
            Measured::Number { unit, .. } => unit,
        }
    }

    fn value(&self) -> f64 {
        match &self.measured {
            Measured::Times { ours, .. } => ours.median(),
            Measured::Number { value, .. } => *value,
        }
    }

    fn goal(&self) -> String {
        match self.goal {
            Goal::None => "none yet".to_owned(),
            Goal::Times(n) => format!("at most {n} times rsync"),
            Goal::AtMost(n) => format!("at most {n} {}", self.unit()),
            Goal::Below(n) => format!("below {n} {}", self.unit()),
        }
    }

    fn met(&self) -> bool {
        match self.goal {
            Goal::None => true,
            Goal::Times(n) => self.ratio().is_some_and(|r| r <= n),
            Goal::AtMost(n) => self.value() <= n,
            Goal::Below(n) => self.value() < n,
        }
    }

    fn json(&self) -> Value {
        let mut out = json!({
            "id": self.id,
            "what": self.what,
            "files": self.files,
            "bytes": self.bytes,
            "goal": self.goal(),
            "met": self.met(),
        });
        match &self.measured {
            Measured::Times { ours, rsync } => {
                out["ours"] = json!({
                    "median_s": rounded(ours.median()),
                    "min_s": rounded(ours.min()),
                    "max_s": rounded(ours.max()),
                });
                out["peers"] = json!({ "rsync": { "median_s": rounded(rsync.median()) } });
                out["ratio"] = json!({ "rsync": self.ratio().map(rounded) });
            }
            Measured::Number { value, unit } => {
                out["value"] = json!(rounded(*value));
                out["unit"] = json!(unit);
            }
        }
        out
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// All figures.
#[derive(Debug, Default)]
pub struct Report {
    figures: Vec<Figure>,
}

impl Report {
    /// Adds one.
    pub fn add(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut rows =
            vec![["figure", "files", "ours", "rsync", "ratio", "goal", "met"].map(str::to_owned)];
        for f in &self.figures {
            let (ours, rsync) = match &f.measured {
                Measured::Times { ours, rsync } => {
                    let spread = format!(
                        "{:.2} s ({:.2}–{:.2})",
                        ours.median(),
                        ours.min(),
                        ours.max()
                    );
                    (spread, format!("{:.2} s", rsync.median()))
                }
                Measured::Number { value, unit } => {
                    let digits = usize::from(value.fract() != 0.0);
                    (format!("{value:.digits$} {unit}"), String::new())
                }
            };
            let met = match f.goal {
                Goal::None => "–",
                _ if f.met() => "yes",
                _ => "no",
            };
            rows.push([
                f.what.clone(),
                f.files.to_string(),
                ours,
                rsync,
                f.ratio().map_or_else(String::new, |r| format!("{r:.2}")),
                f.goal(),
                met.to_owned(),
            ]);
        }
        lay_out(&rows)
    }

    /// Writes the JSON.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let figures: Vec<Value> = self.figures.iter().map(Figure::json).collect();
        std::fs::write(
            path,
            serde_json::to_vec_pretty(&json!({ "figures": figures }))?,
        )
    }
}

fn lay_out<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|r| r[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_as_json_and_as_a_table() {
        let sample = |v: f64| {
            let mut s = Sample::default();
            s.add(v);
            s
        };
        let mut report = Report::default();
        report.add(Figure {
            id: "x",
            what: "something".to_owned(),
            files: 3,
            bytes: 9,
            measured: Measured::Times {
                ours: sample(3.0),
                rsync: sample(2.0),
            },
            goal: Goal::Times(1.5),
        });
        let v = report.figures[0].json();
        assert_eq!(v["ours"]["median_s"], 3.0);
        assert_eq!(v["ratio"]["rsync"], 1.5);
        assert_eq!(v["met"], true);
        report.add(Figure {
            id: "y",
            what: "memory".to_owned(),
            files: 0,
            bytes: 0,
            measured: Measured::Number {
                value: 61.0,
                unit: "MB",
            },
            goal: Goal::Below(60.0),
        });
        let v = report.figures[1].json();
        assert_eq!(
            (&v["value"], &v["unit"], &v["met"]),
            (&json!(61.0), &json!("MB"), &json!(false))
        );
        assert!(v.get("ours").is_none());
        assert!(report.table().contains("at most 1.5 times rsync"));
    }
}
