//! Examples, then properties over random trees: identity, convergence, idempotence, nothing lost.

use super::*;
use proptest::prelude::*;

type Tree = BTreeMap<RelPath, Node<u32>>;

fn p(s: &str) -> RelPath {
    RelPath::new(s).unwrap()
}

fn file(content: u32) -> Node<u32> {
    Node::File {
        mode: 0o644,
        content,
    }
}

fn diff(base: &Tree, now: &Tree) -> Changes<u32> {
    let mut out = Changes::new();
    for (path, node) in now {
        if base.get(path) != Some(node) {
            out.insert(path.clone(), Some(node.clone()));
        }
    }
    for path in base.keys().filter(|k| !now.contains_key(*k)) {
        out.insert(path.clone(), None);
    }
    out
}

fn aside(path: &RelPath, side: Side, attempt: u32) -> Option<RelPath> {
    let mut name = path.name().to_vec();
    name.extend_from_slice(format!(" ({side:?} {attempt})").as_bytes());
    path.with_name(&name).ok()
}

fn run(base: &Tree, local: &Tree, remote: &Tree) -> Plan<u32> {
    plan(&Inputs {
        base: &|q| base.get(q).cloned(),
        local: &diff(base, local),
        remote: &diff(base, remote),
        aside: &aside,
        merge: &no_merging,
    })
}

fn apply_to(tree: &Tree, moves: &[(RelPath, RelPath)], changes: &Changes<u32>) -> Tree {
    let mut out = tree.clone();
    for (from, to) in moves {
        let node = out.remove(from).expect("a move's source exists");
        assert!(
            out.insert(to.clone(), node).is_none(),
            "a move overwrites nothing"
        );
    }
    for (path, node) in changes {
        match node {
            Some(n) => out.insert(path.clone(), n.clone()),
            None => out.remove(path),
        };
    }
    out
}

fn assert_whole(tree: &Tree) {
    for path in tree.keys() {
        for above in path.ancestors() {
            assert!(
                matches!(tree.get(&above), Some(Node::Dir { .. })),
                "{path:?} has no directory {above:?}"
            );
        }
    }
}

/// Runs both sides and answers the common result.
fn converge(base: &Tree, local: &Tree, remote: &Tree) -> Tree {
    let plan = run(base, local, remote);
    let new_local = apply_to(local, &plan.moves, &plan.apply);
    let new_remote = apply_to(remote, &[], &plan.publish);
    assert_eq!(new_local, new_remote);
    assert_whole(&new_local);
    assert!(run(&new_local, &new_local, &new_remote).is_empty());
    new_local
}

fn tree(entries: &[(&str, Node<u32>)]) -> Tree {
    entries.iter().map(|(k, n)| (p(k), n.clone())).collect()
}

/// Numbers merge to their sum; two odd ones lack the local one.
fn run_merging(base: &Tree, local: &Tree, remote: &Tree) -> Plan<u32> {
    plan(&Inputs {
        base: &|q| base.get(q).cloned(),
        local: &diff(base, local),
        remote: &diff(base, remote),
        aside: &aside,
        merge: &|_, base, local, remote| {
            base.map(|base| Merged {
                content: local + remote - base,
                lacks_local: local % 2 == 1 && remote % 2 == 1,
            })
        },
    })
}

#[test]
fn b6_contents_that_mean_something_are_merged_where_both_sides_changed_them() {
    let tree = |n: u32| Tree::from([(p("x"), file(n))]);
    let plan = run_merging(&tree(10), &tree(12), &tree(14));
    let merged = Changes::from([(p("x"), Some(file(16)))]);
    assert_eq!((&plan.apply, &plan.publish), (&merged, &merged));
    assert!(plan.conflicts.is_empty() && plan.moves.is_empty());
    // One side only: nothing to merge.
    assert_eq!(
        run_merging(&tree(10), &tree(12), &tree(10)),
        run(&tree(10), &tree(12), &tree(10))
    );
    // Without a base both are kept.
    let plan = run_merging(&Tree::new(), &tree(12), &tree(14));
    assert_eq!(plan, run(&Tree::new(), &tree(12), &tree(14)));
    assert_eq!(plan.conflicts.len(), 1);
}

#[test]
fn b6_what_a_merge_lacks_is_kept_aside() {
    let tree = |n: u32| Tree::from([(p("x"), file(n))]);
    let (base, local, remote) = (tree(10), tree(11), tree(13));
    let plan = run_merging(&base, &local, &remote);
    let aside = p("x (Local 0)");
    assert_eq!(plan.moves, [(p("x"), aside.clone())]);
    let here = apply_to(&local, &plan.moves, &plan.apply);
    let there = apply_to(&remote, &[], &plan.publish);
    assert_eq!(here, there);
    assert_eq!(here, Tree::from([(p("x"), file(14)), (aside, file(11))]));
}

#[test]
fn m4_two_writes_are_both_kept() {
    let base = tree(&[("a", file(1))]);
    let result = converge(&base, &tree(&[("a", file(2))]), &tree(&[("a", file(3))]));
    assert_eq!(result, tree(&[("a", file(3)), ("a (Local 0)", file(2))]));
}

#[test]
fn a_write_beats_a_deletion_and_its_directory_comes_back() {
    let dir = Node::Dir { mode: 0o700 };
    let base = tree(&[("d", dir.clone()), ("d/x", file(1))]);
    let edited = tree(&[("d", dir.clone()), ("d/x", file(2))]);
    assert_eq!(converge(&base, &edited, &Tree::new()), edited);
    assert_eq!(converge(&base, &Tree::new(), &edited), edited);
}

#[test]
fn a_file_gives_way_to_a_directory() {
    let dir = Node::Dir { mode: 0o755 };
    let with_dir = tree(&[("n", dir.clone()), ("n/x", file(5))]);
    let result = converge(&Tree::new(), &tree(&[("n", file(9))]), &with_dir);
    assert_eq!(result.get(&p("n (Local 0)")), Some(&file(9)));
    let result = converge(&Tree::new(), &with_dir, &tree(&[("n", file(9))]));
    assert_eq!(result.get(&p("n (Remote 0)")), Some(&file(9)));
    assert_eq!(result.get(&p("n/x")), Some(&file(5)));
}

#[test]
fn w_8_an_empty_directory_stays_where_a_file_came() {
    let dir = tree(&[("n", Node::Dir { mode: 0o755 })]);
    let file_there = tree(&[("n", file(9))]);
    let kept = |side: &str| {
        tree(&[
            ("n", Node::Dir { mode: 0o755 }),
            (&format!("n ({side} 0)"), file(9)),
        ])
    };
    assert_eq!(converge(&Tree::new(), &dir, &file_there), kept("Remote"));
    assert_eq!(converge(&Tree::new(), &file_there, &dir), kept("Local"));
}

#[test]
fn w_8_equal_things_with_other_permissions_are_no_conflict() {
    let with = |mode, content| tree(&[("s", Node::File { mode, content })]);
    let result = converge(&with(0o644, 1), &with(0o600, 2), &with(0o755, 2));
    assert_eq!(result, with(0o755, 2));
    let dir = |mode| tree(&[("d", Node::Dir { mode })]);
    let result = converge(&dir(0o755), &dir(0o700), &dir(0o750));
    assert_eq!(result, dir(0o750));
}

#[test]
fn content_and_mode_merge_apart() {
    let base = tree(&[("s", file(1))]);
    let local = tree(&[(
        "s",
        Node::File {
            mode: 0o755,
            content: 1,
        },
    )]);
    let result = converge(&base, &local, &tree(&[("s", file(2))]));
    assert_eq!(
        result,
        tree(&[(
            "s",
            Node::File {
                mode: 0o755,
                content: 2
            }
        )])
    );
}

#[test]
fn a_taken_aside_name_is_not_used() {
    let base = tree(&[("a", file(1)), ("a (Local 0)", file(7))]);
    let local = tree(&[("a", file(2)), ("a (Local 0)", file(7))]);
    let remote = tree(&[("a", file(3)), ("a (Local 0)", file(7))]);
    let result = converge(&base, &local, &remote);
    assert_eq!(result.get(&p("a (Local 1)")), Some(&file(2)));
    assert_eq!(result.get(&p("a (Local 0)")), Some(&file(7)));
}

#[test]
fn w_8_an_aside_name_that_came_on_one_side_is_taken() {
    let base = tree(&[("a", file(1))]);
    let (edited, other) = (tree(&[("a", file(2))]), tree(&[("a", file(3))]));
    let with = |side: &Tree| {
        let mut side = side.clone();
        side.insert(p("a (Local 0)"), file(7));
        side
    };
    for (local, remote) in [(with(&edited), other.clone()), (edited, with(&other))] {
        let result = converge(&base, &local, &remote);
        assert_eq!(result.get(&p("a (Local 0)")), Some(&file(7)));
        assert_eq!(result.get(&p("a (Local 1)")), Some(&file(2)));
    }
}

#[test]
fn w_8_a_plan_for_one_side_is_a_plan() {
    let (before, after) = (tree(&[("a", file(1))]), tree(&[("a", file(2))]));
    let publish = run(&before, &after, &before);
    assert!(publish.moves.is_empty() && publish.apply.is_empty() && !publish.is_empty());
    let apply = run(&before, &before, &after);
    assert!(apply.moves.is_empty() && apply.publish.is_empty() && !apply.is_empty());
}

#[test]
fn w_8_a_file_in_the_way_is_named_after_its_side_and_a_local_one_is_moved() {
    let dir = Node::Dir { mode: 0o755 };
    let base = tree(&[("d", dir.clone()), ("d/x", file(1))]);
    let edited = tree(&[("d", dir.clone()), ("d/x", file(2))]);
    let replaced = tree(&[("d", file(9))]);
    let kept = |side: &str| {
        tree(&[
            ("d", dir.clone()),
            ("d/x", file(2)),
            (&format!("d ({side} 0)"), file(9)),
        ])
    };
    assert_eq!(converge(&base, &edited, &replaced), kept("Remote"));
    assert_eq!(converge(&base, &replaced, &edited), kept("Local"));
    // What is here already is renamed; what comes is written.
    let moves = run(&base, &replaced, &edited).moves;
    assert_eq!(moves, [(p("d"), p("d (Local 0)"))]);
    let plan = run(&base, &edited, &replaced);
    assert_eq!(plan.moves, []);
    assert_eq!(plan.apply.get(&p("d (Remote 0)")), Some(&Some(file(9))));
}

fn arb_node() -> impl Strategy<Value = Node<u32>> {
    prop_oneof![
        3 => (0u32..6, prop_oneof![Just(0o644u16), Just(0o755)]).prop_map(|(content, mode)| Node::File { mode, content }),
        2 => prop_oneof![Just(0o755u16), Just(0o700)].prop_map(|mode| Node::Dir { mode }),
        1 => (0u8..3).prop_map(|t| Node::Symlink { target: vec![b'a' + t] }),
    ]
}

/// A whole tree over few names, so that the sides meet often.
fn arb_tree() -> impl Strategy<Value = Tree> {
    let names = prop_oneof![Just("a"), Just("b"), Just("c")];
    let path = prop::collection::vec(names, 1..4).prop_map(|v| v.join("/"));
    prop::collection::vec((path, arb_node()), 0..8).prop_map(|entries| {
        let mut tree = Tree::new();
        for (path, node) in entries {
            let path = p(&path);
            let above: Vec<_> = path.ancestors().collect();
            if above
                .iter()
                .any(|a| tree.get(a).is_some_and(|n| !n.is_dir()))
            {
                continue;
            }
            if !node.is_dir() && tree.keys().any(|k| path.is_above(k)) {
                continue;
            }
            for a in above {
                tree.entry(a).or_insert(Node::Dir { mode: 0o755 });
            }
            tree.insert(path, node);
        }
        tree
    })
}

fn contents(tree: &Tree) -> BTreeSet<Vec<u8>> {
    tree.values()
        .filter_map(|n| match n {
            Node::File { content, .. } => Some(content.to_be_bytes().to_vec()),
            Node::Symlink { target } => Some(target.clone()),
            Node::Dir { .. } => None,
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn both_sides_converge_to_a_whole_tree(base in arb_tree(), local in arb_tree(), remote in arb_tree()) {
        converge(&base, &local, &remote);
    }

    #[test]
    fn equal_sides_need_nothing(base in arb_tree(), now in arb_tree()) {
        prop_assert!(run(&base, &now, &now).is_empty());
    }

    #[test]
    fn one_sided_changes_are_taken_as_they_are(base in arb_tree(), now in arb_tree()) {
        prop_assert_eq!(converge(&base, &now, &base), now.clone());
        prop_assert_eq!(converge(&base, &base, &now), now);
    }

    #[test]
    fn m4_no_value_that_was_written_is_lost(base in arb_tree(), local in arb_tree(), remote in arb_tree()) {
        let result = contents(&converge(&base, &local, &remote));
        for side in [&local, &remote] {
            let written: BTreeSet<Vec<u8>> = contents(
                &side.iter().filter(|(k, n)| base.get(*k) != Some(*n)
                    // A change of mode alone writes no value.
                    && !matches!((base.get(*k), n), (Some(Node::File { content: a, .. }), Node::File { content: b, .. }) if a == b))
                    .map(|(k, n)| (k.clone(), n.clone())).collect(),
            );
            for value in written {
                prop_assert!(result.contains(&value), "{value:?} was written and is nowhere");
            }
        }
    }
}
