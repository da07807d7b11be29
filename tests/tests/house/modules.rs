//! The modules of a crate, read from its sources, and who names whom. Methods are not followed: only paths are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

use crate::circles::Edges;

/// A path within the crate: `["service", "opening"]`; the crate's top is empty.
type Segments = Vec<String>;

#[derive(Default)]
struct Module {
    file: Option<syn::File>,
    /// Names that lead elsewhere: from `use`, private ones too, since children see them.
    leads: BTreeMap<String, Segments>,
    /// Modules of which all is taken in.
    globs: Vec<Segments>,
}

/// All of them.
pub struct Modules(BTreeMap<Segments, Module>);

fn is_test(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|a| {
        a.path().is_ident("cfg")
            && a.meta
                .require_list()
                .is_ok_and(|l| l.tokens.to_string().contains("test"))
    })
}

impl Modules {
    /// Reads the sources below a folder: every file is a module.
    pub fn read(src: &Path) -> Self {
        let mut out = Self(BTreeMap::new());
        out.folder(src, &[]);
        let all: BTreeSet<Segments> = out.0.keys().cloned().collect();
        for (path, module) in &mut out.0 {
            let Some(file) = &module.file else { continue };
            for item in &file.items {
                if let Item::Use(item) = item
                    && !is_test(&item.attrs)
                {
                    for (name, target) in used(&item.tree) {
                        let Some(target) = absolute(&target, path, &all) else {
                            continue;
                        };
                        if name == "*" {
                            module.globs.push(target);
                        } else {
                            module.leads.insert(name, target);
                        }
                    }
                }
            }
        }
        out
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn folder(&mut self, folder: &Path, at: &[String]) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let mut here = at.to_vec();
            // Their own roots, or only for tests.
            if ["tests", "bin"].contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                here.push(name);
                self.folder(&path, &here);
                continue;
            }
            if path.extension().is_none_or(|e| e != "rs") || name == "main" {
                continue;
            }
            if !["mod", "lib"].contains(&name.as_str()) {
                here.push(name);
            }
            let file = syn::parse_file(&std::fs::read_to_string(&path).unwrap());
            let file = file.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            // Those that lie elsewhere.
            for item in &file.items {
                if let Item::Mod(m) = item
                    && m.attrs.iter().any(|a| a.path().is_ident("path"))
                {
                    let elsewhere = here.iter().cloned().chain([m.ident.to_string()]);
                    self.0.entry(elsewhere.collect()).or_default();
                }
            }
            let module = self.0.entry(here).or_default();
            module.file = Some(file);
        }
    }

    /// The module in which a path ends, re-exports followed.
    fn home(&self, path: &[String]) -> Option<Segments> {
        let mut path = path.to_vec();
        // Re-exports do not form circles; a bound all the same.
        for _ in 0..16 {
            let known = (0..=path.len())
                .rev()
                .find(|n| self.0.contains_key(&path[..*n]))?;
            let module = &self.0[&path[..known]];
            let Some(name) = path.get(known) else {
                return Some(path);
            };
            match module.leads.get(name) {
                Some(target) if *target != path[..=known] => {
                    let rest = path.split_off(known + 1);
                    path = target.iter().cloned().chain(rest).collect();
                }
                _ => {
                    path.truncate(known);
                    return Some(path);
                }
            }
        }
        None
    }

    /// Which module names something of which other.
    pub fn edges(&self) -> Edges {
        let all: BTreeSet<Segments> = self.0.keys().cloned().collect();
        let mut out = Edges::new();
        for (path, module) in &self.0 {
            let Some(file) = &module.file else { continue };
            let mut names = Names {
                at: path,
                all: &all,
                found: BTreeSet::new(),
            };
            names.visit_file(file);
            names.found.extend(module.globs.iter().cloned());
            let used = names.found.iter().filter_map(|p| self.home(p));
            let used = used.filter(|home| home != path).map(|home| name(&home));
            out.entry(name(path)).or_default().extend(used);
        }
        out
    }
}

fn name(path: &[String]) -> String {
    if path.is_empty() {
        "(top)".to_owned()
    } else {
        path.join("::")
    }
}

/// Names that a `use` brings, and the paths behind them. `self` stands for what it is in; a glob is `*`.
fn used(tree: &UseTree) -> Vec<(String, Segments)> {
    fn walk(tree: &UseTree, before: &[String], out: &mut Vec<(String, Segments)>) {
        let with = |ident: &syn::Ident| {
            let mut path = before.to_vec();
            path.push(ident.to_string());
            path
        };
        match tree {
            UseTree::Path(p) => walk(&p.tree, &with(&p.ident), out),
            UseTree::Name(n) if n.ident == "self" => {
                let name = before.last().cloned().unwrap_or_default();
                out.push((name, before.to_vec()));
            }
            UseTree::Name(n) => out.push((n.ident.to_string(), with(&n.ident))),
            UseTree::Rename(r) => out.push((r.rename.to_string(), with(&r.ident))),
            UseTree::Glob(_) => out.push(("*".to_owned(), before.to_vec())),
            UseTree::Group(g) => g.items.iter().for_each(|t| walk(t, before, out)),
        }
    }
    let mut out = Vec::new();
    walk(tree, &[], &mut out);
    out
}

/// A path as it is seen from a module, from the crate's top; none if it leads out of the crate.
fn absolute(path: &[String], at: &[String], all: &BTreeSet<Segments>) -> Option<Segments> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some(at.iter().chain(rest).cloned().collect()),
        "super" => {
            let (_, parent) = at.split_last()?;
            if rest.first().is_some_and(|s| s == "super") {
                absolute(rest, parent, all)
            } else {
                Some(parent.iter().chain(rest).cloned().collect())
            }
        }
        child => {
            let mut here = at.to_vec();
            here.push(child.to_owned());
            all.contains(&here)
                .then(|| here.iter().chain(rest).cloned().collect())
        }
    }
}

/// Collects what a module names.
struct Names<'a> {
    at: &'a [String],
    all: &'a BTreeSet<Segments>,
    found: BTreeSet<Segments>,
}

impl Names<'_> {
    fn take(&mut self, path: &[String]) {
        if let Some(path) = absolute(path, self.at, self.all) {
            self.found.insert(path);
        }
    }
}

impl<'ast> Visit<'ast> for Names<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attrs = match item {
            Item::Mod(m) => &m.attrs,
            Item::Fn(f) => &f.attrs,
            Item::Impl(i) => &i.attrs,
            Item::Use(u) => &u.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_test(attrs) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        // What is only passed on is no use of it.
        if matches!(item.vis, syn::Visibility::Inherited) {
            for (_, path) in used(&item.tree) {
                self.take(&path);
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Segments = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if segments.len() > 1 {
            self.take(&segments);
        }
        visit::visit_path(self, path);
    }
}
