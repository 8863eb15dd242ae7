//! YAML as typed: a tree of scalars, lists and maps in which every node knows its place, and the readers that take typed values out of it.
//! It resolves nothing, fills in no defaults and opens no file; `check` says what a tree must hold.

mod read;
mod typed;

use std::collections::HashMap;
use std::sync::Arc;

use serde_saphyr::granit_parser::{self, ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, StructureStyle};

use crate::diag::{Diagnostics, Mark, Source};

pub(super) use read::{Field, Fields, NO_SPACE, lacks_space, shortened};

/// What a list or a map as a key was most likely meant to be: YAML reads the brackets of an IPv6 address as a list.
const UNQUOTED_KEY: &str = "quote what begins with `[` or `{`, such as an address: `\"[::1]:53\"`";

/// Lists and maps in each other: real files need eight; more is a mistake or an attack on the stack.
const MAX_DEPTH: usize = 32;

/// Keys and values of one file, aliases counted each time they are used: a million rows of `networks` are four million.
const MAX_NODES: usize = 5_000_000;

/// The key that takes over the entries of other maps (`<<: *defaults`).
const MERGE_KEY: &str = "<<";

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Where it begins.
    pub(super) mark: Mark,
    /// What stands there.
    pub(super) value: Value,
}

/// The three shapes of YAML.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// Text exactly as typed, with quotes and escapes resolved; typed readers say what it means.
    Scalar {
        /// The text.
        text: Box<str>,
        /// Not quoted, so that `~` and nothing at all mean "no value".
        plain: bool,
    },
    /// In order.
    List(Vec<Node>),
    /// In order; no key twice.
    Map(Vec<(Key, Node)>),
}

/// A key of a map and its place.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// Where it begins.
    pub(super) mark: Mark,
    /// The text.
    pub(super) text: Box<str>,
}

/// Reads a whole file. Faults that leave the shape clear (a key twice) are reported and reading goes on; `None` after any other.
pub(super) fn parse(source: &Arc<Source>, out: &mut Diagnostics) -> Option<Node> {
    let mut options = granit_parser::options! { flow_nesting_limit: MAX_DEPTH + 1, block_nesting_limit: MAX_DEPTH + 1 };
    options.set_emit_comments(false);
    let mut tree = Tree { source, out, open: Vec::new(), anchors: HashMap::new(), nodes: 0, root: None, documents: 0 };
    for event in Parser::new_from_str_with_options(&source.text, options) {
        match event {
            Ok((event, span)) => tree.take(event, &span)?,
            Err(error) => return tree.syntax(&error),
        }
    }
    tree.finish()
}

/// The tree while it grows.
struct Tree<'t> {
    source: &'t Arc<Source>,
    out: &'t mut Diagnostics,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
    documents: usize,
}

/// A list or map whose end has not been seen.
struct Open {
    mark: Mark,
    anchor: usize,
    /// Opened by a bracket, not by indentation.
    bracket: bool,
    inside: Inside,
}

enum Inside {
    List(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, key: Option<Key>, seen: Seen },
}

/// The keys of a map so far: small maps are searched, and only large ones pay for an index.
#[derive(Default)]
struct Seen(HashMap<Box<str>, u32>);

impl Seen {
    /// Maps with more keys than this are indexed.
    const SMALL: usize = 16;

    /// The line of an earlier key with the same text.
    fn first_line(&mut self, key: &Key, entries: &[(Key, Node)]) -> Option<u32> {
        if entries.len() < Seen::SMALL {
            return entries.iter().find(|(have, _)| have.text == key.text).map(|(have, _)| have.mark.line);
        }
        if self.0.is_empty() {
            self.0 = entries.iter().map(|(have, _)| (have.text.clone(), have.mark.line)).collect();
        }
        let first = self.0.get(&key.text).copied();
        if first.is_none() {
            self.0.insert(key.text.clone(), key.mark.line);
        }
        first
    }
}

impl Tree<'_> {
    /// `None` stops the reading; the reason has been reported.
    fn take(&mut self, event: Event<'_>, span: &Span) -> Option<()> {
        let mark = self.mark(span.start.line(), span.start.col());
        if let Some(tag) = event.tag() {
            let text = format!("the YAML tag `{}` is not used in these files", tag.original());
            self.out.error_hint(mark, text, "remove the tag, or quote the text if the `!` belongs to it");
            return None;
        }
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let value = Value::Scalar { text: text.into(), plain: style == ScalarStyle::Plain };
                self.add(Node { mark, value }, anchor)
            }
            Event::SequenceStart(style, anchor, _) => self.open(mark, anchor, style, Inside::List(Vec::new())),
            Event::MappingStart(style, anchor, _) => {
                self.open(mark, anchor, style, Inside::Map { entries: Vec::new(), key: None, seen: Seen::default() })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(id) => self.alias(mark, id),
            Event::DocumentStart(..) => self.document(mark),
            _ => Some(()),
        }
    }

    fn mark(&self, line: usize, column: usize) -> Mark {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Mark::new(self.source, number(line), number(column).saturating_add(1))
    }

    fn document(&mut self, mark: Mark) -> Option<()> {
        self.documents += 1;
        if self.documents > 1 {
            self.out.error_hint(mark, "a second document begins here", "one file holds one document: remove the `---`, or use two files");
            return None;
        }
        Some(())
    }

    fn open(&mut self, mark: Mark, anchor: usize, style: StructureStyle, inside: Inside) -> Option<()> {
        self.room(&mark, 1, 1)?;
        if self.wants_key() {
            self.out.error_hint(mark, "a key must be a text, not a list or a map", UNQUOTED_KEY);
            return None;
        }
        self.open.push(Open { mark, anchor, bracket: style == StructureStyle::Flow, inside });
        Some(())
    }

    fn close(&mut self) -> Option<()> {
        let Open { mark, anchor, inside, .. } = self.open.pop()?;
        let value = match inside {
            Inside::List(items) => Value::List(items),
            Inside::Map { entries, .. } => Value::Map(self.merged(entries)),
        };
        self.put(Node { mark, value }, anchor)
    }

    /// A copy of the value that the anchor names.
    fn alias(&mut self, mark: Mark, id: usize) -> Option<()> {
        let Some(node) = self.anchors.get(&id) else {
            self.out.error(mark, "this alias stands inside the very value that it refers to");
            return None;
        };
        let (nodes, depth) = extent(node);
        let node = node.clone();
        self.room(&mark, nodes, depth)?;
        self.put(node, 0)
    }

    fn add(&mut self, node: Node, anchor: usize) -> Option<()> {
        self.room(&node.mark, 1, 0)?;
        self.put(node, anchor)
    }

    /// Checks the limits before anything grows.
    fn room(&mut self, mark: &Mark, nodes: usize, depth: usize) -> Option<()> {
        self.nodes += nodes;
        if self.open.len() + depth > MAX_DEPTH {
            self.out.error(mark.clone(), format!("lists and maps are nested more than {MAX_DEPTH} deep"));
            return None;
        }
        if self.nodes > MAX_NODES {
            let text = format!("the file holds more than {MAX_NODES} keys and values");
            self.out.error_hint(mark.clone(), text, "use several files, or CSV for networks and a master file for records");
            return None;
        }
        Some(())
    }

    fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { inside: Inside::Map { key: None, .. }, .. }))
    }

    /// Puts a finished node where it belongs.
    fn put(&mut self, node: Node, anchor: usize) -> Option<()> {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.inside) {
            None => self.root = Some(node),
            Some(Inside::List(items)) => items.push(node),
            Some(Inside::Map { entries, key, seen }) => match key.take() {
                Some(taken) => match seen.first_line(&taken, entries) {
                    Some(first) => {
                        let text = format!("key `{}` stands twice in this map", taken.text);
                        self.out.error_hint(taken.mark, text, format!("the first is on line {first}; remove one of them"));
                    }
                    None => entries.push((taken, node)),
                },
                None => {
                    let Node { mark, value: Value::Scalar { text, .. } } = node else {
                        self.out.error_hint(node.mark, "a key must be a text, not a list or a map", UNQUOTED_KEY);
                        return None;
                    };
                    *key = Some(Key { mark, text });
                }
            },
        }
        Some(())
    }

    /// Takes over the entries of `<<: MAP` and `<<: [MAP, ...]`: what the map itself holds wins, then the earlier map.
    fn merged(&mut self, mut entries: Vec<(Key, Node)>) -> Vec<(Key, Node)> {
        let Some(at) = entries.iter().position(|(key, _)| &*key.text == MERGE_KEY) else { return entries };
        let (key, node) = entries.remove(at);
        let maps = match node.value {
            Value::List(maps) => maps,
            _ => vec![node],
        };
        for map in maps {
            let Value::Map(others) = map.value else {
                self.out.error_hint(key.mark.clone(), "`<<` takes a map or a list of maps", "for example `<<: *defaults`");
                continue;
            };
            for other in others {
                if !entries.iter().any(|(key, _)| key.text == other.0.text) {
                    entries.push(other);
                }
            }
        }
        entries
    }

    fn finish(self) -> Option<Node> {
        let empty = self.root.as_ref().is_none_or(Node::is_null);
        if empty {
            self.out.error(Mark::file(self.source), "the file is empty");
            return None;
        }
        self.root
    }

    /// Reports where the text stops being YAML; the place where it went wrong is often above it.
    fn syntax(self, error: &ScanError) -> Option<Node> {
        let mark = self.mark(error.marker().line(), error.marker().col());
        if let Some(open) = self.open.last().filter(|open| open.bracket && open.mark.line < mark.line) {
            let (opens, closes) = if matches!(open.inside, Inside::List(_)) { ('[', ']') } else { ('{', '}') };
            let text = format!("`{opens}` opens here and is not closed before line {}", mark.line);
            self.out.error_hint(open.mark.clone(), text, format!("add the missing `{closes}`, or the comma that is missing between"));
            return None;
        }
        if is_open_quote(error.kind()) {
            let mark = open_quote(self.source, mark.line).unwrap_or(mark);
            self.out.error_hint(mark, "a quoted text is not closed", "add the missing quote");
            return None;
        }
        let (text, hint) = explain(error.kind(), char_at(&mark));
        match hint {
            Some(hint) => self.out.error_hint(mark, text, hint),
            None => self.out.error(mark, text),
        }
        None
    }
}

impl Node {
    /// Nothing after the colon, or `~` or `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if matches!(&**text, "" | "~" | "null" | "Null" | "NULL"))
    }
}

/// Nodes and depth of a subtree.
fn extent(node: &Node) -> (usize, usize) {
    let below = |children: &mut dyn Iterator<Item = &Node>, keys: usize| {
        let (nodes, depth) = children.map(extent).fold((keys, 0), |(n, d), (m, e)| (n + m, d.max(e)));
        (nodes + 1, depth + 1)
    };
    match &node.value {
        Value::Scalar { .. } => (1, 0),
        Value::List(items) => below(&mut items.iter(), 0),
        Value::Map(entries) => below(&mut entries.iter().map(|(_, value)| value), entries.len()),
    }
}

/// Faults that come of a quote that is not closed; the parser notices them lines later.
fn is_open_quote(kind: &ErrorKind) -> bool {
    use ErrorKind as K;
    matches!(kind, K::UnclosedQuotedScalar | K::InvalidQuotedScalarIndent | K::DocumentIndicatorInQuotedScalar)
}

/// The last quote of the nearest line, `line` or above it, that has an odd number of them.
fn open_quote(source: &Arc<Source>, line: u32) -> Option<Mark> {
    let lines: Vec<&str> = source.text.lines().take(line as usize).collect();
    let odd = |text: &&str| ['"', '\''].into_iter().find(|quote| text.matches(*quote).count() % 2 == 1);
    let (index, text) = lines.iter().enumerate().rev().find(|(_, text)| odd(text).is_some())?;
    let column = text.rfind(odd(text)?).map(|at| text[..at].chars().count() + 1)?;
    Some(Mark::new(source, u32::try_from(index + 1).ok()?, u32::try_from(column).ok()?))
}

/// The character at a place.
fn char_at(mark: &Mark) -> Option<char> {
    let line = mark.source.text.lines().nth(mark.line.checked_sub(1)? as usize)?;
    line.chars().nth(mark.column.checked_sub(1)? as usize)
}

/// The parser's faults in an operator's words, with what usually causes them.
fn explain(kind: &ErrorKind, at: Option<char>) -> (String, Option<&'static str>) {
    use ErrorKind as K;
    let (text, hint) = match kind {
        K::SimpleKeyExpected | K::InvalidSimpleKey if at == Some('*') => {
            ("an unquoted text must not begin with `*`", "quote it: `\"*.wild\"`")
        }
        K::TabNotAllowed | K::TabInBlockIndentation | K::TabInIndentation | K::TabAtBlockScalarStart | K::TabInPlainScalar => {
            ("a tab stands where YAML wants spaces", "indent with spaces only")
        }
        K::UnknownAnchor => {
            ("an unquoted `*` begins an alias, and no anchor of that name exists", "quote names with a wildcard: `\"*.wild\"`")
        }
        K::UnexpectedCharacter { character: '@' } => ("an unquoted text must not begin with `@`", "quote it: `\"@\"`"),
        K::UnexpectedCharacter { character: '`' } => ("an unquoted text must not begin with a backtick", "quote it"),
        K::UnexpectedCharacter { character: '%' } => ("an unquoted text must not begin with `%`", "quote it"),
        K::UnclosedFlowCollection { open: '[' } | K::UnexpectedEofFlowSequence => ("`[` is never closed", "add the missing `]`"),
        K::UnclosedFlowCollection { .. } | K::UnexpectedEofFlowMapping | K::UnexpectedEofImplicitFlowMapping => {
            ("`{` is never closed", "add the missing `}`")
        }
        K::ExpectedFlowSequenceSeparator => ("expected `,` or `]` here", "separate the values of a list by commas and close it"),
        K::ExpectedFlowMappingSeparator => ("expected `,` or `}` here", "separate the entries of a map by commas and close it"),
        K::MisplacedFlowCollectionEnd => ("this bracket closes nothing that was opened", "count the brackets of the line"),
        K::MismatchedFlowCollectionEnd { open, close } => {
            return (format!("`{open}` opens here and is closed by `{close}`"), Some("close each bracket by its own kind"));
        }
        K::InvalidTrailingSingleQuotedScalar | K::InvalidTrailingDoubleQuotedScalar => {
            ("there is text right after the closing quote", "quote the whole text, or add the missing comma")
        }
        K::ExpectedBlockMappingKey | K::ExpectedBlockSequenceEntry | K::InvalidIndentation => {
            ("this line does not fit the lines above it", "keys of one map start in one column; so do the dashes of one list")
        }
        K::SimpleKeyExpected | K::InvalidSimpleKey => {
            ("there is no `:` after this key", "write `key: value`, with a space after the colon")
        }
        K::MappingValueNotAllowed | K::MappingKeyNotAllowed | K::InvalidColonPlacement => {
            ("a `key: value` is not possible here", "check the indentation, and quote texts that contain `: `")
        }
        K::UnknownQuotedScalarEscape => ("unknown escape in a double-quoted text", "write `\\\\` for a backslash, or use single quotes"),
        K::CommentNotSeparated => ("there is no space before this `#`", "put a space before a comment, or quote the text"),
        K::RecursionLimitExceeded => return (format!("lists and maps are nested more than {MAX_DEPTH} deep"), None),
        other => return (format!("this is not valid YAML: {other}"), None),
    };
    (text.to_owned(), Some(hint))
}

#[cfg(test)]
mod tests;
