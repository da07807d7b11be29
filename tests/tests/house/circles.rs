//! Strongly connected parts of a graph (Tarjan's algorithm).

use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Who uses whom.
pub type Edges = BTreeMap<String, BTreeSet<String>>;

/// Sets of more than one node of which each leads to each.
pub fn circles(edges: &Edges) -> Vec<Vec<String>> {
    let mut search = Search {
        edges,
        numbers: BTreeMap::new(),
        low: BTreeMap::new(),
        stack: Vec::new(),
        found: Vec::new(),
    };
    for node in edges.keys() {
        if !search.numbers.contains_key(node.as_str()) {
            search.visit(node);
        }
    }
    search.found.sort();
    search.found
}

struct Search<'a> {
    edges: &'a Edges,
    numbers: BTreeMap<&'a str, usize>,
    low: BTreeMap<&'a str, usize>,
    stack: Vec<&'a str>,
    found: Vec<Vec<String>>,
}

impl<'a> Search<'a> {
    fn visit(&mut self, node: &'a str) {
        let number = self.numbers.len();
        self.numbers.insert(node, number);
        self.low.insert(node, number);
        self.stack.push(node);
        for next in self.edges.get(node).into_iter().flatten() {
            let next = next.as_str();
            let reached = match self.numbers.get(next) {
                None => {
                    self.visit(next);
                    self.low[next]
                }
                Some(number) if self.stack.contains(&next) => *number,
                Some(_) => continue,
            };
            let low = self.low[node].min(reached);
            self.low.insert(node, low);
        }
        if self.low[node] == number {
            let begin = self.stack.iter().position(|n| *n == node).unwrap();
            let mut part: Vec<String> = self
                .stack
                .split_off(begin)
                .into_iter()
                .map(str::to_owned)
                .collect();
            part.sort();
            if part.len() > 1 {
                self.found.push(part);
            }
        }
    }
}
