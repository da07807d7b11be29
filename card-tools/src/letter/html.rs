//! The letter as one page of HTML: no scripts, nothing loaded, everything that is not ours escaped.

use super::sheet::{Letter, TITLE, grouped};

/// Text for an element or a quoted attribute.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// The page. Labels are set apart, so that one written from right to left turns nothing around it.
pub fn page(letter: &Letter<'_>, out: &mut String) {
    out.push_str("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.push_str("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>");
    out.push_str(TITLE);
    out.push_str(
        "</title>\n<style>\n@page { size: A4; margin: 25mm }\nbody { font: 12pt sans-serif; max-width: 160mm }\n\
         td { padding: 1mm 8mm 1mm 0 }\n\
         td + td { overflow-wrap: anywhere }\n.secret { font: bold 20pt monospace }\n</style>\n</head>\n<body>\n<h1>",
    );
    out.push_str(TITLE);
    out.push_str("</h1>\n<table>\n");
    for (name, value) in letter.rows() {
        row(out, name, "", &escaped(value));
    }
    row(out, "PIN", " class=\"secret\"", &grouped(letter.pin, 3));
    row(out, "PUK", " class=\"secret\"", &grouped(letter.puk, 4));
    out.push_str("</table>\n");
    for line in letter.advice() {
        out.push_str("<p>");
        out.push_str(&escaped(line));
        out.push_str("</p>\n");
    }
    out.push_str("</body>\n</html>\n");
}

fn row(out: &mut String, name: &str, attribute: &str, value: &str) {
    for part in [
        "<tr><td>",
        name,
        "</td><td",
        attribute,
        "><bdi>",
        value,
        "</bdi></td></tr>\n",
    ] {
        out.push_str(part);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{LABELS, letter};
    use super::*;

    #[test]
    fn labels_are_text_and_nothing_else() {
        let plain = {
            let mut out = String::new();
            page(&letter("x"), &mut out);
            out
        };
        for label in LABELS {
            let mut out = String::new();
            page(&letter(label), &mut out);
            // The same page but for the label: as many tags, quotes and references of ours.
            let own = out.replacen(&escaped(label), "x", 1);
            assert_eq!(own, plain, "{label}");
            assert!(!escaped(label).contains(['<', '>', '"', '\'']), "{label}");
        }
        assert_eq!(
            escaped("<a href=\"'&amp;'\">"),
            "&lt;a href=&quot;&#39;&amp;amp;&#39;&quot;&gt;"
        );
        assert!(
            plain.contains("123 456") && plain.contains("8765 4321"),
            "{plain}"
        );
    }
}
