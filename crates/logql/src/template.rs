//! The template language of `line_format` and `label_format`.
//!
//! It is Go's `text/template` with Loki's functions, and the faults a template makes at run time
//! reach the user as label values; so positions, printed nodes and wording are Go's. Values are
//! bytes, because templates may cut characters in two.
//!
//! Place in the path: the pipeline compiles a template once per query and executes it per row
//! against a [`Data`], which finds labels without building a map.

mod builtins;
mod decimal;
mod encoding;
mod exec;
mod format;
mod functions;
pub(crate) mod go_time;
mod lex;
mod math;
mod parse;
mod printf;
mod text;
mod times;
mod tree;
mod value;

use model::Timestamp;

pub use functions::names as template_functions;

use tree::{Expr, List, Node, Pipe};

/// What a template may look at.
pub(crate) trait Data {
    /// The value of a label.
    fn label(&self, name: &str) -> Option<&[u8]>;
    /// All labels, by name.
    fn labels(&self) -> Vec<(String, Vec<u8>)>;
    /// The current line.
    fn line(&self) -> &[u8];
    /// The entry's time.
    fn timestamp(&self) -> Timestamp;
    /// The current time.
    fn now(&self) -> Timestamp;
}

/// A piece of a template that needs no executing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Text.
    Text(Box<str>),
    /// `{{.label}}`
    Label(Box<str>),
}

/// A compiled template.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    name: &'static str,
    text: Box<str>,
    root: List,
    defined: Vec<(Box<str>, List)>,
}

impl Template {
    /// Compiles a template; `name` is how errors call it.
    ///
    /// # Errors
    ///
    /// Go's text, such as `template: line:1: function "x" not defined`.
    pub(crate) fn parse(name: &'static str, text: &str) -> Result<Self, String> {
        let (root, defined) = parse::parse(name, text)?;
        Ok(Self { name, text: text.into(), root, defined })
    }

    /// Appends what the template makes of `data`.
    ///
    /// # Errors
    ///
    /// Go's text of the fault; `out` then holds what came before it.
    pub(crate) fn execute(&self, data: &dyn Data, out: &mut Vec<u8>) -> Result<(), String> {
        exec::execute(self, data, out)
    }

    /// The template as plain pieces, when it consists of text and single labels.
    pub(crate) fn pieces(&self) -> Option<Vec<Piece>> {
        let piece = |node: &Node| match node {
            Node::Text(text) => Some(Piece::Text(text.clone())),
            Node::Action(pipe) => single_field(pipe).map(|name| Piece::Label(name.into())),
            _ => None,
        };
        self.root.nodes.iter().map(piece).collect()
    }

    /// The labels that stand as plain fields in the template, in any of its parts. Labels reached
    /// in other ways (`index . "x"`, `$.x`) are not among them.
    pub(crate) fn fields(&self) -> Vec<&str> {
        let mut fields = Vec::new();
        for list in self.lists() {
            list.visit(&mut |expr| {
                if let Expr::Field(names) = &expr {
                    fields.extend(names.first().map(|name| &**name));
                }
            });
        }
        fields
    }

    /// Whether the template calls a function of this name.
    pub(crate) fn calls(&self, name: &str) -> bool {
        let mut found = false;
        for list in self.lists() {
            list.visit(&mut |expr| {
                found |= matches!(expr, Expr::Function(called) if **called == *name);
            });
        }
        found
    }

    /// Whether the template may look at labels that [`Template::fields`] does not name.
    pub(crate) fn sees_all_labels(&self) -> bool {
        let mut found = false;
        for list in self.lists() {
            list.visit(&mut |expr| {
                found |= matches!(expr, Expr::Dot)
                    || matches!(expr, Expr::Variable(names) if &*names[0] == "$");
            });
        }
        found
    }

    fn lists(&self) -> impl Iterator<Item = &List> {
        std::iter::once(&self.root).chain(self.defined.iter().map(|(_, list)| list))
    }
}

/// The label of an action that is nothing but `.label`.
fn single_field(pipe: &Pipe) -> Option<&str> {
    let [command] = pipe.commands.as_slice() else { return None };
    match command.args.as_slice() {
        [arg] if pipe.variables.is_empty() => match &arg.expr {
            Expr::Field(names) if names.len() == 1 => Some(&names[0]),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests;
