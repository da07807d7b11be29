//! Figures, as a table and as JSON.

use std::path::Path;

use serde_json::{Value, json};

use super::measure::Sample;

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// Nothing was promised for it yet.
    None,
    /// At most so many times this peer.
    Times(&'static str, f64),
    /// The same, and so many times its processor time, too, without that of the server.
    TimesOfBoth(&'static str, f64),
    /// At most so much, in the figure's own unit.
    AtMost(f64),
}

/// What it took each time, in seconds.
#[derive(Debug, Clone, Default)]
pub struct Cost {
    /// From start to end.
    pub time: Sample,
    /// Of the processors; empty where that is not known.
    pub processor: Sample,
}

/// What was measured.
#[derive(Debug, Clone)]
pub enum Measured {
    /// Seconds, beside those of peers.
    Times {
        /// Ours, with the terminal's processor time.
        ours: Cost,
        /// Processor time of the server.
        server: Sample,
        /// Others, by name.
        peers: Vec<(&'static str, Cost)>,
    },
    /// Something else.
    Number {
        value: f64,
        /// Unit of `value`, as it is shown: `ms`, `bytes`, `MB`.
        unit: &'static str,
    },
}

/// Something that was measured, beside what it should be: a row of the table.
#[derive(Debug, Clone)]
pub struct Figure {
    /// Stable name.
    pub id: &'static str,
    /// The same in words, for the table.
    pub what: String,
    /// How many files the work was about; 0 where that means nothing.
    pub files: usize,
    /// How many bytes were in them; 0 where that means nothing.
    pub bytes: u64,
    /// What was measured.
    pub measured: Measured,
    /// What it should be.
    pub goal: Goal,
}

impl Figure {
    /// How many times a peer's time, and its processor time, as far as both are known.
    fn ratios(&self, peer: &str) -> (Option<f64>, Option<f64>) {
        let Measured::Times { ours, peers, .. } = &self.measured else {
            return (None, None);
        };
        let Some((_, other)) = peers.iter().find(|(name, _)| *name == peer) else {
            return (None, None);
        };
        let of = |a: &Sample, b: &Sample| {
            (a.median() > 0.0 && b.median() > 0.0).then(|| a.median() / b.median())
        };
        (
            of(&ours.time, &other.time),
            of(&ours.processor, &other.processor),
        )
    }

    fn unit(&self) -> &'static str {
        match &self.measured {
            Measured::Times { .. } => "s",
            Measured::Number { unit, .. } => unit,
        }
    }

    fn value(&self) -> f64 {
        match &self.measured {
            Measured::Times { ours, .. } => ours.time.median(),
            Measured::Number { value, .. } => *value,
        }
    }

    fn goal(&self) -> String {
        match self.goal {
            Goal::None => "none yet".to_owned(),
            Goal::Times(peer, n) => format!("at most {n} times {peer}"),
            Goal::TimesOfBoth(peer, n) => {
                format!("at most {n} times {peer}, of time and processor")
            }
            Goal::AtMost(n) => format!("at most {n} {}", self.unit()),
        }
    }

    fn met(&self) -> bool {
        match self.goal {
            Goal::None => true,
            Goal::Times(peer, n) => self.ratios(peer).0.is_some_and(|r| r <= n),
            Goal::TimesOfBoth(peer, n) => {
                let (time, processor) = self.ratios(peer);
                time.is_some_and(|r| r <= n) && processor.is_some_and(|r| r <= n)
            }
            Goal::AtMost(n) => self.value() <= n,
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
            Measured::Times {
                ours,
                server,
                peers,
            } => {
                out["ours"] = json!({
                    "median_s": rounded(ours.time.median()),
                    "min_s": rounded(ours.time.min()),
                    "max_s": rounded(ours.time.max()),
                    "terminal_processor_s": rounded(ours.processor.median()),
                    "server_processor_s": rounded(server.median()),
                });
                for (name, cost) in peers {
                    let (time, processor) = self.ratios(name);
                    out["peers"][name] = json!({
                        "median_s": rounded(cost.time.median()),
                        "processor_s": rounded(cost.processor.median()),
                    });
                    out["ratio"][name] = json!(time.map(rounded));
                    out["processor_ratio"][name] = json!(processor.map(rounded));
                }
            }
            Measured::Number { value, unit } => {
                out["value"] = json!(rounded(*value));
                out["unit"] = json!(unit);
            }
        }
        out
    }
}

fn shown(sample: &Sample) -> String {
    let (least, most) = (sample.min(), sample.max());
    format!("{:.2} s ({least:.2}–{most:.2})", sample.median())
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
    pub fn add(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// The table for people: a row for each figure, and one more for each further peer.
    pub fn table(&self) -> String {
        let mut rows = vec![
            [
                "figure",
                "files",
                "ours",
                "processor: terminal + server",
                "beside",
                "ratio",
                "of processor",
                "goal",
                "met",
            ]
            .map(str::to_owned),
        ];
        for f in &self.figures {
            let met = match f.goal {
                Goal::None => "–",
                _ if f.met() => "yes",
                _ => "no",
            };
            let mut row = [f.what.clone(), f.files.to_string()]
                .into_iter()
                .collect::<Vec<_>>();
            match &f.measured {
                Measured::Times { ours, server, .. } => {
                    row.push(shown(&ours.time));
                    let (terminal, server) = (ours.processor.median(), server.median());
                    row.push(format!("{terminal:.2} s + {server:.2} s"));
                }
                Measured::Number { value, unit } => {
                    let digits = usize::from(value.fract() != 0.0);
                    row.extend([format!("{value:.digits$} {unit}"), String::new()]);
                }
            }
            let mut beside = Self::beside(f);
            row.extend(beside.remove(0));
            row.extend([f.goal(), met.to_owned()]);
            rows.extend(<[String; 9]>::try_from(row).ok());
            for [peer, time, processor] in beside {
                let mut more: [String; 9] = Default::default();
                (more[4], more[5], more[6]) = (peer, time, processor);
                rows.push(more);
            }
        }
        lay_out(&rows)
    }

    /// For each peer (at least one row, which may be empty): its times, and both ratios.
    fn beside(f: &Figure) -> Vec<[String; 3]> {
        let Measured::Times { peers, .. } = &f.measured else {
            return vec![Default::default()];
        };
        let ratio = |r: Option<f64>| r.map_or_else(String::new, |r| format!("{r:.2}"));
        let row = |(name, cost): &(&'static str, Cost)| {
            let (time, processor) = f.ratios(name);
            let taken = match cost.processor.median() {
                0.0 => String::new(),
                seconds => format!(", processor {seconds:.2} s"),
            };
            let peer = format!("{name} {}{taken}", shown(&cost.time));
            [peer, ratio(time), ratio(processor)]
        };
        peers.iter().map(row).collect()
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
        let cost = |time, processor| Cost {
            time: sample(time),
            processor: sample(processor),
        };
        let mut report = Report::default();
        report.add(Figure {
            id: "x",
            what: "something".to_owned(),
            files: 3,
            bytes: 9,
            measured: Measured::Times {
                ours: cost(3.0, 1.0),
                server: sample(0.5),
                peers: vec![("rsync", cost(2.0, 0.0)), ("tar", cost(4.0, 0.5))],
            },
            goal: Goal::Times("rsync", 1.5),
        });
        let v = report.figures[0].json();
        assert_eq!(v["ours"]["median_s"], 3.0);
        assert_eq!(
            (&v["ratio"]["rsync"], &v["ratio"]["tar"]),
            (&json!(1.5), &json!(0.75))
        );
        assert_eq!(v["processor_ratio"], json!({ "rsync": null, "tar": 2.0 }));
        assert_eq!(v["met"], true);
        report.figures[0].goal = Goal::TimesOfBoth("tar", 1.5);
        assert!(!report.figures[0].met(), "more than its processor time");
        report.figures[0].goal = Goal::Times("rsync", 1.5);
        report.add(Figure {
            id: "y",
            what: "memory".to_owned(),
            files: 0,
            bytes: 0,
            measured: Measured::Number {
                value: 61.0,
                unit: "MB",
            },
            goal: Goal::AtMost(60.0),
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
