//! The tree of a template, and how its nodes are printed in errors.

use std::fmt;

use model::Pattern;

/// A number as written, with the meanings it can have.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Number {
    pub(super) text: Box<str>,
    pub(super) int: Option<i64>,
    pub(super) float: Option<f64>,
    /// The imaginary part of `2i`.
    pub(super) imaginary: Option<f64>,
    /// Whether a bare use means the float: the text has a point or an exponent.
    pub(super) is_float: bool,
}

/// A value to compute.
#[derive(Debug, Clone)]
pub(super) enum Expr {
    /// `.`
    Dot,
    /// `nil`
    Nil,
    /// `true`
    Bool(bool),
    /// `5`
    Number(Number),
    /// `"text"`, with the literal as written.
    Text { quoted: Box<str>, text: Box<[u8]> },
    /// `.a.b`
    Field(Vec<Box<str>>),
    /// `$x.a`: the variable's name with its `$`, then fields.
    Variable(Vec<Box<str>>),
    /// A function's name.
    Function(Box<str>),
    /// `(pipeline)`
    Pipe(Box<Pipe>),
    /// `(…).a` and `function.a`
    Chain(Box<Arg>, Vec<Box<str>>),
}

/// A value with its place in the text.
#[derive(Debug, Clone)]
pub(super) struct Arg {
    pub(super) expr: Expr,
    pub(super) at: usize,
}

/// A function or value with arguments.
#[derive(Debug, Clone)]
pub(super) struct Command {
    pub(super) args: Vec<Arg>,
    pub(super) at: usize,
    /// The first argument as a regular expression, when the function takes one and it is literal.
    pub(super) pattern: Option<Pattern>,
}

/// Commands of which each feeds the next.
#[derive(Debug, Clone)]
pub(super) struct Pipe {
    pub(super) at: usize,
    /// Variables that take the value.
    pub(super) variables: Vec<Box<str>>,
    /// Whether the variables exist already.
    pub(super) is_assign: bool,
    pub(super) commands: Vec<Command>,
}

/// `if`, `range` or `with`.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) body: List,
    pub(super) other: Option<List>,
}

/// A call of a defined template.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) at: usize,
    pub(super) name: Box<str>,
    pub(super) pipe: Option<Pipe>,
}

/// A part of the output.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Text(Box<str>),
    Action(Pipe),
    If(Branch),
    Range(Branch),
    With(Branch),
    Call(Call),
    Break,
    Continue,
}

/// Parts in order.
#[derive(Debug, Clone, Default)]
pub(super) struct List {
    pub(super) nodes: Vec<Node>,
}

impl List {
    /// Calls `f` with every value in the list.
    pub(super) fn visit<'t>(&'t self, f: &mut dyn FnMut(&'t Expr)) {
        for node in &self.nodes {
            match node {
                Node::Text(_) | Node::Break | Node::Continue => {}
                Node::Action(pipe) => pipe.visit(f),
                Node::Call(call) => call.pipe.iter().for_each(|pipe| pipe.visit(f)),
                Node::If(branch) | Node::Range(branch) | Node::With(branch) => {
                    branch.pipe.visit(f);
                    branch.body.visit(f);
                    branch.other.iter().for_each(|list| list.visit(f));
                }
            }
        }
    }
}

impl Pipe {
    fn visit<'t>(&'t self, f: &mut dyn FnMut(&'t Expr)) {
        for command in &self.commands {
            command.args.iter().for_each(|arg| arg.visit(f));
        }
    }
}

impl Arg {
    fn visit<'t>(&'t self, f: &mut dyn FnMut(&'t Expr)) {
        f(&self.expr);
        match &self.expr {
            Expr::Pipe(pipe) => pipe.visit(f),
            Expr::Chain(inner, _) => inner.visit(f),
            _ => {}
        }
    }
}

impl fmt::Display for Arg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.expr {
            Expr::Dot => f.write_str("."),
            Expr::Nil => f.write_str("nil"),
            Expr::Bool(value) => write!(f, "{value}"),
            Expr::Number(number) => f.write_str(&number.text),
            Expr::Text { quoted, .. } => f.write_str(quoted),
            Expr::Field(names) => names.iter().try_for_each(|name| write!(f, ".{name}")),
            Expr::Variable(names) => f.write_str(&names.join(".")),
            Expr::Function(name) => f.write_str(name),
            Expr::Pipe(pipe) => write!(f, "({pipe})"),
            Expr::Chain(inner, names) => {
                write!(f, "{inner}")?;
                names.iter().try_for_each(|name| write!(f, ".{name}"))
            }
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, arg) in self.args.iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{arg}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            let operator = if self.is_assign { "=" } else { ":=" };
            write!(f, "{} {operator} ", self.variables.join(", "))?;
        }
        for (at, command) in self.commands.iter().enumerate() {
            if at > 0 {
                f.write_str(" | ")?;
            }
            write!(f, "{command}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut name = String::new();
        model::label::quote_into(&self.name, &mut name);
        match &self.pipe {
            Some(pipe) => write!(f, "{{{{template {name} {pipe}}}}}"),
            None => write!(f, "{{{{template {name}}}}}"),
        }
    }
}
